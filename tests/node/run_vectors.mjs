// The Node home's vector runner: every scenario under a directory, unchanged, through the public API and the testing hooks; those in memory once more on a store in a directory.
//
//   node tests/node/run_vectors.mjs --dir DIR
//
// One JSON line per scenario; exit 0 when it could run them, 2 when it could not.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { FerryError, outgoing } from "../../wasm/dist/node.js";
import { openTesting } from "../../wasm/dist/testing.node.js";
import { scenarioFiles } from "./vectors/files.mjs";
import { runScenario } from "./vectors/world.mjs";

const stores = mkdtempSync(join(tmpdir(), "ferrymq-vectors-"));
let made = 0;
const directory = () => join(stores, String(made++));

try {
  const { values } = parseArgs({ options: { dir: { type: "string" } } });
  if (values.dir === undefined) throw new Error("say which directory: --dir DIR");
  const api = { openTesting, outgoing, FerryError, directory };
  for (const file of scenarioFiles(values.dir)) {
    const outcome = await runScenario(api, "node", file, readFileSync(join(values.dir, file), "utf8"));
    console.log(JSON.stringify(outcome));
  }
} catch (error) {
  console.error(error.message);
  process.exitCode = 2;
} finally {
  rmSync(stores, { recursive: true, force: true });
}
