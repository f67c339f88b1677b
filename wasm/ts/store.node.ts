// Node: the engine with a store.

import { fromFile } from "./load.node.js";
import { storeEngine } from "./store.js";

export const store = storeEngine(fromFile("ferrymq.store.wasm"));
