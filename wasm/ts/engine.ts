// A module of the engine: loaded once, when it is first needed. There are two, without a store (this package's entries) and with one (`store.ts`).

import { FerryError } from "./errors.js";

/** Gets the bytes of a WebAssembly module. */
export type Load = () => Promise<Uint8Array<ArrayBuffer>>;

/** What wasm-bindgen writes beside a module. */
interface Glue<N> {
  readonly initSync: (module: { module: WebAssembly.Module }) => { readonly memory: WebAssembly.Memory };
  readonly Native: N;
}

export interface Engine<N> {
  readonly Native: N;
  readonly memory: WebAssembly.Memory;
}

/** Gives the engine, loaded with `load` the first time. A load that failed is tried again by the next call. */
export function engine<N>(glue: Glue<N>, load: Load): () => Promise<Engine<N>> {
  let loading: Promise<Engine<N>> | undefined;
  return () => {
    loading ??= instantiate(glue, load).catch((error) => {
      loading = undefined;
      throw error;
    });
    return loading;
  };
}

async function instantiate<N>({ initSync, Native }: Glue<N>, load: Load): Promise<Engine<N>> {
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
