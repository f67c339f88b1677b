// Node: the module is a file beside this one.

import { readFile } from "node:fs/promises";

/** Reads the module from the package. */
export async function load(): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await readFile(new URL("./ferrymq.wasm", import.meta.url)));
}
