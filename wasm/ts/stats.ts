// Statistics: the engine's names and numbers to JavaScript's.

import type { Core } from "./core.js";

/** What `stats` or `queues` answered: names in camelCase, whole numbers as number where that can hold them, as bigint where not. */
export function readStats<T>(core: Core): T {
  return converted(core.value()) as T;
}

function converted(value: unknown): unknown {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  if (Array.isArray(value)) return value.map(converted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [
      name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
      converted(each),
    ]),
  );
}
