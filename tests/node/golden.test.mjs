// Stores that programs of this format version left behind (tests/golden), opened by this one: every queue, message, attempt, delay, dedup id, exchange and binding is there.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { FerryError, outgoing } from "../../wasm/dist/node.js";
import { openTesting } from "../../wasm/dist/testing.node.js";
import { runScenario } from "./vectors/world.mjs";

const GOLDEN = fileURLToPath(new URL("../golden", import.meta.url));

/** The steps beside one store, run on the files of another. */
async function run(t, steps, files) {
  const path = mkdtempSync(join(tmpdir(), "ferrymq-golden-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  const store = JSON.parse(readFileSync(join(GOLDEN, `${files}.store.json`), "utf8"));
  for (const [name, { len, sectors }] of Object.entries(store.files)) {
    const bytes = Buffer.alloc(len);
    for (const [at, digits] of Object.entries(sectors)) bytes.write(digits, Number(at), "hex");
    writeFileSync(join(path, name), bytes);
  }
  const api = { openTesting, outgoing, FerryError, directory: () => path };
  return runScenario(api, "node", `${steps}.json`, readFileSync(join(GOLDEN, `${steps}.json`), "utf8"));
}

for (const name of ["killed", "closed"]) {
  test(`a store that was ${name} has in it what was put there`, async (t) => {
    assert.equal((await run(t, name, name)).detail, "");
  });
}

test("one that says something else is noticed", async (t) => {
  assert.match((await run(t, "closed", "killed")).detail, /^step 10 \(stats\): /);
});
