// Names that nobody else has.

/** The prefix and 16 random hexadecimal digits. */
export function randomName(prefix: string): string {
  const words = crypto.getRandomValues(new Uint32Array(2));
  return prefix + Array.from(words, (word) => word.toString(16).padStart(8, "0")).join("");
}
