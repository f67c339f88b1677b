// The worker half of runner.mjs.

import { runAll } from "/tests/browser/runner.mjs";

self.onmessage = async ({ data: { home, scenarios } }) => {
  self.postMessage(await runAll(home, scenarios));
};
