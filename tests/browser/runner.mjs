// Runs scenarios inside a page or a worker: the same package entry and the same runner in both.

import { runScenario } from "/tests/node/vectors/world.mjs";
import { FerryError, outgoing } from "/wasm/dist/browser.js";
import { openTesting } from "/wasm/dist/testing.browser.js";

/** Runs scenarios, each a file with its text; resolves with their outcomes. */
export async function runAll(home, scenarios) {
  const outcomes = [];
  for (const { file, text } of scenarios) {
    outcomes.push(await runScenario({ openTesting, outgoing, FerryError }, home, file, text));
  }
  return outcomes;
}

/** As `runAll`, in a dedicated worker. */
export function runAllInWorker(home, scenarios) {
  return new Promise((resolve, reject) => {
    const worker = new Worker("/tests/browser/worker.mjs", { type: "module" });
    worker.onmessage = ({ data }) => {
      worker.terminate();
      resolve(data);
    };
    worker.onerror = (event) => {
      worker.terminate();
      reject(new Error(event.message ?? "the worker did not start"));
    };
    worker.postMessage({ home, scenarios });
  });
}
