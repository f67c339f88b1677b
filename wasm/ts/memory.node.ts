// Node: the engine without a store.

import { fromFile } from "./load.node.js";
import { memoryEngine } from "./memory.js";

export const memory = memoryEngine(fromFile("ferrymq.wasm"));
