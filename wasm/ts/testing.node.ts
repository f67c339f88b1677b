// The entry `ferrymq/testing` for Node.

import { memory } from "./memory.node.js";
import { type OpenTesting, testingOpener } from "./testing.js";

export type { OpenTesting, Testing, TestingOptions } from "./testing.js";

/** Opens a broker whose time and disk belong to a test. */
export const openTesting: OpenTesting = testingOpener(
  memory,
  async () => (await import("./store.node.js")).store(),
  () => import("./path.node.js"),
);
