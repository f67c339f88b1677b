// Browsers and bundlers: the engine without a store.

import { unpacked } from "./load.inline.js";
import { memoryEngine } from "./memory.js";
import { MODULE_GZIP_BASE64 } from "./native/inline.js";

export const memory = memoryEngine(unpacked(MODULE_GZIP_BASE64));
