// The engine with a store. Whoever needs it imports this dynamically, so that nobody else loads it.

import { type Engine, engine, type Load } from "./engine.js";
import { initSync, Native } from "./store/ferrymq_wasm.js";

export type { Native as StoreNative } from "./store/ferrymq_wasm.js";
export type StoreEngine = () => Promise<Engine<typeof Native>>;

/** That engine, loaded with `load` when it is first needed. */
export function storeEngine(load: Load): StoreEngine {
  return engine({ initSync, Native }, load);
}
