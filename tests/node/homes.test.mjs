// Proves that a store goes from one home to another: what Node wrote Python opens, with every property, and the other way round, also when the writer was killed; and that each honours the other as owner.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { open } from "../../wasm/dist/node.js";

const PYTHON = fileURLToPath(new URL("../../target/venv/bin/python", import.meta.url));
const TIME = 1_700_000_000_000;
const GROUP_END = 3;

function directory(t) {
  const path = mkdtempSync(join(tmpdir(), "ferrymq-homes-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

function python(program, path) {
  const printed = execFileSync(PYTHON, ["-c", `import ferrymq, json, sys\npath = sys.argv[1]\n${program}`, path], {
    encoding: "utf8",
  });
  return printed.trim().split("\n");
}

/** Starts a program in Python; resolves once it printed a line, with that and how to kill it. */
async function running(t, program, path) {
  const text = `import ferrymq, sys\npath = sys.argv[1]\n${program}`;
  const child = spawn(PYTHON, ["-c", text, path], { stdio: ["pipe", "pipe", "inherit"] });
  const exited = new Promise((resolve) => child.once("exit", resolve));
  t.after(() => child.kill("SIGKILL"));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const kill = async () => {
    child.kill("SIGKILL");
    await exited;
  };
  return { said: (await lines.next()).value, pid: child.pid, kill };
}

const WRITE_IN_PYTHON = `
from datetime import datetime, timezone
broker = ferrymq.open(path)
queue = broker.queue("jobs", max_attempts=3, capacity=100, backoff=ferrymq.Backoff(initial=0, jitter=0), priorities=5, dedup_window=3600, dead_letter="grave")
headers = {"text": "äöü", "int": 2**53 + 1, "float": 0.5, "bytes": b"\\x00\\xff", "at": datetime.fromtimestamp(1700000000, timezone.utc), "list": [1, None, True], "map": {"a": 1}}
queue.produce("full", priority=3, key="k", headers=headers, dedup_id="one", correlation_id="c", reply_to="r", ttl=3600)
queue.produce(b"\\x00\\x01raw")
queue.produce(json={"n": 1}, delay=3600)
taken = queue.consume()
taken.nack(delay=0, reason="first trouble")
broker.exchange("events", "topic").bind(queue, "a.*")
`;

const READ_IN_PYTHON = `
broker = ferrymq.open(path)
queue = broker.queue("jobs", max_attempts=3, capacity=100, priorities=5, dedup_window=3600, dead_letter="grave")
stats = queue.stats()
print(stats.ready, stats.delayed, stats.produced, stats.nacked)
taken = queue.consume()
print(taken.text, taken.attempt, taken.priority, taken.key, taken.correlation_id, taken.reply_to, taken.content_type)
h = taken.headers
print(h["text"], h["int"], h["float"], h["bytes"].hex(), int(h["at"].timestamp()), json.dumps(h["list"]), json.dumps(h["map"]))
print(queue.consume().body.hex(), queue.consume())
print(queue.produce("again", dedup_id="one"), broker.exchange("events").produce("event", key="a.b"))
broker.close()
`;

const FULL = [
  "full 2 3 k c r text/plain; charset=utf-8",
  `äöü ${2n ** 53n + 1n} 0.5 00ff 1700000000 [1, null, true] {"a": 1}`,
];

async function writeInNode(path) {
  const broker = await open({ path });
  const queue = await broker.queue("jobs", {
    maxAttempts: 3,
    capacity: 100,
    backoff: { initial: 0, jitter: 0 },
    priorities: 5,
    dedupWindow: 3_600_000,
    deadLetter: "grave",
  });
  const headers = {
    text: "äöü",
    int: 2n ** 53n + 1n,
    float: 0.5,
    bytes: new Uint8Array([0, 255]),
    at: new Date(TIME),
    list: [1, null, true],
    map: { a: 1 },
  };
  const options = { priority: 3, key: "k", headers, dedupId: "one", correlationId: "c", replyTo: "r", ttl: 3_600_000 };
  await queue.produce("full", options);
  await queue.produce(new Uint8Array([0, 1, ...Buffer.from("raw")]));
  await queue.produce({ n: 1 }, { delay: 3_600_000 });
  await (await queue.consume()).nack({ delay: 0, reason: "first trouble" });
  await (await broker.exchange("events", { kind: "topic" })).bind(queue, "a.*");
  return broker;
}

async function readInNode(path) {
  const broker = await open({ path });
  const queue = await broker.queue("jobs", { maxAttempts: 3, capacity: 100, priorities: 5, deadLetter: "grave" });
  const { ready, delayed, produced, nacked } = await queue.stats();
  assert.deepEqual([ready, delayed, produced, nacked], [2, 1, 3, 1]);
  const taken = await queue.consume();
  const { attempt, priority, key, correlationId, replyTo, contentType, headers } = taken;
  assert.deepEqual(
    [taken.text(), attempt, priority, key, correlationId, replyTo, contentType],
    ["full", 2, 3, "k", "c", "r", "text/plain; charset=utf-8"],
  );
  assert.deepEqual(headers, {
    text: "äöü",
    int: 2n ** 53n + 1n,
    float: 0.5,
    bytes: new Uint8Array([0, 255]),
    at: new Date(TIME),
    list: [1, null, true],
    map: { a: 1 },
  });
  assert.deepEqual(Buffer.from((await queue.consume()).bytes()).toString("latin1"), "\0\u0001raw");
  assert.equal(await queue.consume(), undefined);
  assert.equal(await queue.produce("again", { dedupId: "one" }), 1n);
  assert.equal(await (await broker.exchange("events")).publish("event", { key: "a.b" }), 1);
  await broker.close();
}

test("Python reads what Node wrote, and Node what Python wrote", async (t) => {
  const path = directory(t);
  await (await writeInNode(path)).close();
  assert.deepEqual(python(READ_IN_PYTHON, path), ["2 1 3 1", ...FULL, "0001726177 None", "1 1"]);
  const other = directory(t);
  python(`${WRITE_IN_PYTHON}broker.close()`, other);
  await readInNode(other);
});

test("the same done in Node and in Python is the same in the store, but for names and times", async (t) => {
  const [ours, theirs] = [directory(t), directory(t)];
  await (await writeInNode(ours)).close();
  python(`${WRITE_IN_PYTHON}broker.close()`, theirs);
  const [mine, other] = [ours, theirs].map((path) => {
    const names = readdirSync(path).filter((name) => name.endsWith(".seg"));
    return names.map((name) => [name, frames(readFileSync(join(path, name)))]);
  });
  assert.deepEqual(mine, other);
});

/** Kind and length of each frame (docs/store-format.md), but for group ends, which come when there is time. */
function frames(bytes) {
  const found = [];
  for (let at = 512; bytes[at + 12] !== 0; at += 48 + Math.ceil(bytes.readUInt32LE(at + 8) / 8) * 8) {
    if (bytes[at + 12] !== GROUP_END) found.push([bytes[at + 12], bytes.readUInt32LE(at + 8)]);
  }
  return [bytes.length, found];
}

test("after a kill, too", async (t) => {
  const path = directory(t);
  const killed = await running(t, `${WRITE_IN_PYTHON}print("written", flush=True)\nsys.stdin.read()`, path);
  assert.equal(killed.said, "written");
  const refused = await open({ path }).catch((error) => error);
  assert.equal(refused.code, "StoreLocked", `${refused}`);
  assert.match(refused.message, new RegExp(`is open in process ${killed.pid}: close it there`));
  await killed.kill();
  await readInNode(path);

  const other = directory(t);
  const broker = await writeInNode(other);
  const said = python("try:\n    ferrymq.open(path)\nexcept ferrymq.StoreLocked as error:\n    print(error)", other);
  assert.match(said[0], new RegExp(`is open in process ${process.pid}`));
  await broker.close();
  assert.deepEqual(python(READ_IN_PYTHON, other)[0], "2 1 3 1");
});
