// The entry `ferrymq/testing` for Node.

import { load } from "./load.node.js";
import { type OpenTesting, testingOpener } from "./testing.js";

export type { OpenTesting, Testing, TestingOptions } from "./testing.js";

/** Opens a broker whose time and disk belong to a test. */
export const openTesting: OpenTesting = testingOpener(load);
