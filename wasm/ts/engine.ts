// The engine's module: loaded once, when the first broker is opened.

import { FerryError } from "./errors.js";
import { initSync, Native } from "./native/ferrymq_wasm.js";

/** Gets the bytes of the WebAssembly module. */
export type Load = () => Promise<Uint8Array<ArrayBuffer>>;

export interface Engine {
  readonly Native: typeof import("./native/ferrymq_wasm.js").Native;
  readonly memory: WebAssembly.Memory;
}

let loading: Promise<Engine> | undefined;

/** The engine, loaded with `load` unless it is there. A load that failed is tried again by the next call. */
export function engine(load: Load): Promise<Engine> {
  loading ??= instantiate(load).catch((error) => {
    loading = undefined;
    throw error;
  });
  return loading;
}

async function instantiate(load: Load): Promise<Engine> {
  if (typeof WebAssembly === "undefined") {
    throw new FerryError(
      "Unavailable",
      "this runtime has no WebAssembly (a lockdown mode, or a Content-Security-Policy without 'wasm-unsafe-eval'); allow it for this page",
    );
  }
  const module = await WebAssembly.compile(await load());
  const { memory } = initSync({ module });
  return { Native, memory };
}
