// Statistics: the core's names and numbers to JavaScript's.

/** Names in camelCase; whole numbers as number where it can hold them, as bigint where not. */
export function statistics<T>(value: unknown): T {
  return convert(value) as T;
}

function convert(value: unknown): unknown {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  if (Array.isArray(value)) return value.map(convert);
  if (typeof value !== "object" || value === null) return value ?? null;
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [
      name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
      convert(each),
    ]),
  );
}
