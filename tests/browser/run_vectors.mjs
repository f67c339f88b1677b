// The browser homes' vector runner: every scenario under a directory in headless Chromium, on the page's own thread and in a worker.
//
//   node tests/browser/run_vectors.mjs --dir DIR
//
// One JSON line per scenario and home ("browser", "browser-worker"); exit 0 when it could run them, 2 when it could not.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { serve } from "../../examples/browser/serve.mjs";
import { scenarioFiles } from "../node/vectors/files.mjs";
import { launch } from "./chromium.mjs";

const PAGE = "<!doctype html><title>FerryMQ vectors</title>";

try {
  const { values } = parseArgs({ options: { dir: { type: "string" } } });
  if (values.dir === undefined) throw new Error("say which directory: --dir DIR");
  const scenarios = scenarioFiles(values.dir).map((file) => ({
    file,
    text: readFileSync(join(values.dir, file), "utf8"),
  }));
  for (const outcome of await runInBrowser(scenarios)) console.log(JSON.stringify(outcome));
} catch (error) {
  console.error(error.message);
  process.exit(2);
}

async function runInBrowser(scenarios) {
  const server = await serve({ "/vectors.html": PAGE });
  const browser = await launch().catch(async (error) => {
    await server.close();
    throw error;
  });
  try {
    const page = await browser.newPage();
    await page.goto(`${server.url}/vectors.html`);
    return await page.evaluate(async (scenarios) => {
      const { runAll, runAllInWorker } = await import("/tests/browser/runner.mjs");
      return [...(await runAll("browser", scenarios)), ...(await runAllInWorker("browser-worker", scenarios))];
    }, scenarios);
  } finally {
    await browser.close();
    await server.close();
  }
}
