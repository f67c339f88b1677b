// Node: a module is a file beside this one.

import { readFile } from "node:fs/promises";
import type { Load } from "./engine.js";

/** Reads a module from the package. */
export function fromFile(name: string): Load {
  return async () => new Uint8Array(await readFile(new URL(`./${name}`, import.meta.url)));
}
