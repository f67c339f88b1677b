// Browsers and bundlers: the engine with a store.

import { unpacked } from "./load.inline.js";
import { MODULE_GZIP_BASE64 } from "./store/inline.js";
import { storeEngine } from "./store.js";

export const store = storeEngine(unpacked(MODULE_GZIP_BASE64));
