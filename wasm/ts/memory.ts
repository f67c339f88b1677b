// The engine without a store: what a page or a program loads that keeps its queues in memory.

import { type Engine, engine, type Load } from "./engine.js";
import { initSync, Native } from "./native/ferrymq_wasm.js";

export type MemoryEngine = () => Promise<Engine<typeof Native>>;

/** That engine, loaded with `load` when it is first needed. */
export function memoryEngine(load: Load): MemoryEngine {
  return engine({ initSync, Native }, load);
}
