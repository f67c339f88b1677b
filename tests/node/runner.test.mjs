// Proves that the vector runner rings: what is unknown or different fails its scenario with a clear detail, and never anything else.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { FerryError, outgoing } from "../../wasm/dist/node.js";
import { openTesting } from "../../wasm/dist/testing.node.js";
import { runScenario } from "./vectors/world.mjs";

const RUNNER = fileURLToPath(new URL("run_vectors.mjs", import.meta.url));
const QUEUE = { do: "queue", queue: "q" };
const PRODUCE = { do: "produce", queue: "q", body: "a" };
const CONSUME = { do: "consume", queue: "q", as: "d" };

async function run(steps, open = { storage: "memory" }, more = {}) {
  const text = typeof steps === "string" ? steps : JSON.stringify({ name: "n", open, steps });
  return runScenario({ openTesting, outgoing, FerryError, ...more }, "node", "a/b.json", text);
}

test("a scenario that holds is ok", async () => {
  const outcome = await run([
    QUEUE,
    PRODUCE,
    { ...CONSUME, expect: { body: "a", key: null } },
    { do: "ack", delivery: "d" },
  ]);
  assert.deepEqual(outcome, { home: "node", file: "a/b.json", name: "n", ok: true, detail: "" });
});

const DIFFERENT = [
  ["{", /does not parse/],
  [[{ do: "frobnicate" }], /step 1: do is "frobnicate"/],
  [[{ ...QUEUE, colour: 1 }], /step 1 \(queue\) has an unknown field "colour"/],
  [[{ do: "consume" }], /has no queue/],
  [[{ ...PRODUCE, expect: 1, error: "Closed" }], /both expect and error/],
  [[{ do: "sync", at: -1 }], /at cannot be -1/],
  [[QUEUE, PRODUCE, { ...CONSUME, expect: { body: "b" } }], /step 3 \(consume\): expected body "b", got "a"/],
  [[QUEUE, PRODUCE, { ...CONSUME, expect: { attempt: 2 } }], /expected attempt 2, got 1/],
  [[QUEUE, PRODUCE, { ...CONSUME, expect: null }], /expected null, got a message with body "a"/],
  [[QUEUE, { ...CONSUME, expect: { body: "a" } }], /got null/],
  [[QUEUE, { ...CONSUME, error: "NotFound" }], /expected error NotFound, got null/],
  [[{ ...PRODUCE }], /got error NotFound/],
  [[{ ...PRODUCE, error: "QueueFull" }], /expected error QueueFull, got error NotFound/],
  [[QUEUE, { ...PRODUCE, expect: "pending" }], /expected it to be pending, got 1/],
  [[QUEUE, { ...CONSUME, options: { timeout: null } }], /it is pending/],
  [[QUEUE, { ...PRODUCE, options: { colour: 1 } }], /got error InvalidArgument/],
  [[QUEUE, { ...PRODUCE, options: { contentType: "a" } }], /got error InvalidArgument/],
  [[{ do: "ack", delivery: "nobody" }], /"nobody" is not a delivery/],
  [[{ do: "result", of: "nobody" }], /nothing is called "nobody"/],
  [[QUEUE, { do: "stats", queue: "q", expect: { capacity: 5 } }], /expected capacity 5, got null/],
  [[QUEUE, { do: "queues", expect: ["q", "r"] }], /expected a list of 2, got 1/],
];

test("what is unknown or different fails, and says how", async () => {
  for (const [steps, detail] of DIFFERENT) {
    const outcome = await run(steps);
    assert.equal(outcome.ok, false, JSON.stringify(steps));
    assert.match(outcome.detail, detail);
  }
  assert.match((await run([QUEUE], { storage: "cloud" })).detail, /storage cannot be "cloud"/);
});

test("a scenario in memory is run on a store as well, and a store without files on the disk in memory", async (t) => {
  const stores = mkdtempSync(join(tmpdir(), "ferrymq-vectors-"));
  t.after(() => rmSync(stores, { recursive: true, force: true }));
  let made = 0;
  const files = { directory: () => join(stores, String(made++)) };
  const emptied = [QUEUE, { do: "kill" }, { do: "reopen" }, { do: "queues", expect: [] }];
  assert.equal((await run(emptied)).ok, true);
  assert.match((await run(emptied, undefined, files)).detail, /step 4 .*expected a list of 0, got 1, only on a store/);
  const kept = [QUEUE, PRODUCE, { do: "kill" }, { do: "reopen" }, { ...CONSUME, expect: { body: "a" } }];
  for (const more of [files, {}]) {
    assert.deepEqual((await run(kept, { storage: "store" }, more)).detail, "");
    assert.match((await run(emptied, { storage: "store" }, more)).detail, /expected a list of 0, got 1/);
  }
  assert.equal(made, 3);
});

test("a directory is run whole, in order; a failure is a line, not an exit", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "ferrymq-vectors-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  mkdirSync(join(directory, "theme"));
  writeFileSync(join(directory, "theme", "good.json"), JSON.stringify({ name: "good", steps: [QUEUE] }));
  writeFileSync(join(directory, "bad.json"), "[]");
  writeFileSync(join(directory, "notes.txt"), "no scenario");
  const lines = execFileSync("node", [RUNNER, "--dir", directory], { encoding: "utf8" }).trim().split("\n");
  const outcomes = lines.map((line) => JSON.parse(line));
  assert.deepEqual(
    outcomes.map(({ home, file, name, ok }) => [home, file, name, ok]),
    [
      ["node", "bad.json", "bad", false],
      ["node", "theme/good.json", "good", true],
    ],
  );
  assert.equal(spawnSync("node", [RUNNER, "--dir", join(directory, "absent")]).status, 2);
  assert.equal(spawnSync("node", [RUNNER]).status, 2);
});
