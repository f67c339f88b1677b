// The text of the engine's last panic. The module that traps cannot say it itself.

let text = "";

/** Called by the engine just before it traps. */
export function panicked(message: string): void {
  text = message;
}

/** What the engine said before it trapped; forgotten when read. */
export function lastPanic(): string {
  const said = text;
  text = "";
  return said;
}
