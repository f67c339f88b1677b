// Proves that a store in a directory keeps what it confirmed, shares syncs, belongs to one owner, survives kill -9 and failing disks, and says clearly why it cannot be opened, without touching anything.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";

// The disk under test: calls that can be counted, held and made to fail. In place before the package takes them.
const real = { fdatasync: fs.fdatasync, write: fs.write };
const disk = { syncs: 0, held: undefined, failing: undefined };
fs.fdatasync = (descriptor, done) => {
  disk.syncs += 1;
  if (disk.failing === "sync") return void setImmediate(done, failure("EIO: i/o error, fdatasync", "EIO"));
  if (disk.held !== undefined) return void disk.held.push(() => real.fdatasync(descriptor, done));
  real.fdatasync(descriptor, done);
};
fs.write = (...passed) => {
  if (disk.failing !== "write") return real.write(...passed);
  setImmediate(passed.at(-1), failure("ENOSPC: no space left on device, write", "ENOSPC"));
};
syncBuiltinESMExports();
const { open } = await import("../../wasm/dist/node.js");
const { openTesting } = await import("../../wasm/dist/testing.node.js");
const { networkFileSystem } = await import("../../wasm/pkg/ts/owner.node.js");

const PRODUCER = fileURLToPath(new URL("programs/producer.mjs", import.meta.url));

function failure(message, code) {
  return Object.assign(new Error(message), { code });
}

/** A directory, gone after the test. */
function directory(t) {
  const path = fs.mkdtempSync(join(tmpdir(), "ferrymq-store-"));
  t.after(() => fs.rmSync(path, { recursive: true, force: true }));
  return path;
}

async function drained(queue) {
  const bodies = [];
  for (let some = await queue.consumeMany(1000); some.length > 0; some = await queue.consumeMany(1000)) {
    bodies.push(...some.map((delivery) => delivery.text()));
    await queue.ackMany(some);
  }
  return bodies;
}

/** What a directory holds: names and contents. */
function everything(path) {
  return fs
    .readdirSync(path)
    .sort()
    .map((name) => [name, fs.readFileSync(join(path, name), "latin1")]);
}

async function refusal(promise) {
  const error = await promise.then(
    () => assert.fail("was not refused"),
    (error) => error,
  );
  assert.equal(error.name, "FerryError", error.stack);
  return error;
}

test("what was confirmed is there when it is opened again", async (t) => {
  const path = join(directory(t), "data");
  for (let turn = 0; turn < 3; turn++) {
    const broker = await open({ path });
    assert.deepEqual(broker.storage, { backend: "files", durability: "durable", persisted: true, damage: [] });
    const queue = await broker.queue("jobs", { lease: 60_000 });
    for (const durability of ["durable", "written", "memory"])
      await queue.produce(`${turn} ${durability}`, { durability });
    await broker.close();
  }
  const broker = await open({ storage: { path } });
  const queue = await broker.queue("jobs", { create: false });
  const expected = [0, 1, 2].flatMap((turn) => [`${turn} durable`, `${turn} written`]);
  assert.deepEqual(await drained(queue), expected, "what asked for memory was not kept");
  await broker.close();
  const again = await open({ path });
  assert.equal(await (await again.queue("jobs", { create: false })).size(), 0, "acks are kept as well");
  await again.close();
});

test("durability of broker and queue: what asks for less is not synced for", async (t) => {
  const broker = await open({ path: directory(t), durability: "written" });
  const queue = await broker.queue("jobs");
  const strict = await broker.queue("strict", { durability: "durable" });
  disk.held = [];
  try {
    await queue.produce("written");
    let safe = false;
    const produced = strict.produce("durable").then(() => {
      safe = true;
    });
    for (let turn = 0; disk.held.length === 0; turn++) {
      assert.ok(turn < 100_000, "it never asked for a sync");
      await new Promise(setImmediate);
    }
    await queue.produce("written while a sync runs");
    assert.equal(safe, false);
    for (const sync of disk.held) sync();
    disk.held = undefined;
    await produced;
  } finally {
    disk.held = undefined;
    await broker.close();
  }
});

test("produces that are under way together share syncs", async (t) => {
  const broker = await open({ path: directory(t) });
  const queue = await broker.queue("jobs");
  disk.syncs = 0;
  await Promise.all(Array.from({ length: 500 }, (_, n) => queue.produce(String(n))));
  assert.ok(disk.syncs <= 10, `${disk.syncs} syncs for 500 messages`);
  disk.syncs = 0;
  for (let n = 0; n < 5; n++) await queue.produce(String(n));
  assert.ok(disk.syncs >= 5, "one after the other cannot");
  await broker.close();
});

test("a close makes everything safe that was accepted, and answers those who still wait", async (t) => {
  const path = directory(t);
  const broker = await open({ path });
  const queue = await broker.queue("jobs");
  const empty = await broker.queue("empty");
  const waiting = empty.consume({ timeout: null }).catch((error) => error.code);
  const produced = queue.produce("under way");
  const closed = broker.close();
  await assert.rejects(queue.produce("late"), { code: "Closed" });
  await broker.close();
  await closed;
  assert.equal(await produced, 1n);
  assert.equal(await waiting, "Closed");
  const again = await open({ path });
  assert.deepEqual(await drained(await again.queue("jobs")), ["under way"]);
  await again.close();
});

test("segments follow each other and are used again", async (t) => {
  const path = directory(t);
  const broker = await open({ path });
  const queue = await broker.queue("jobs");
  const body = new Uint8Array(1 << 20).fill(7);
  for (let turn = 0; turn < 10; turn++) {
    await Promise.all(Array.from({ length: 8 }, () => queue.produce(body)));
    for (const delivery of await queue.consumeMany(8)) {
      assert.deepEqual(delivery.bytes(), body);
      await delivery.ack();
    }
  }
  await broker.close();
  const segments = fs.readdirSync(path).filter((name) => /^[0-9a-f]{16}\.seg$/.test(name));
  assert.ok(segments.length <= 5, `${segments.length} segments for what 80 MiB went through`);
  const again = await open({ path });
  assert.equal(await (await again.queue("jobs")).size(), 0);
  await again.close();
});

test("one owner at a time: in this process, in another, and one that is gone", async (t) => {
  const path = directory(t);
  const claim = () => fs.readFileSync(join(path, "OWNER"), "utf8");
  const broker = await open({ path });
  assert.match(claim(), new RegExp(`^format 1\\npid ${process.pid}\\nboot .*\\nstart \\d+\\nepoch 1\\nhome node\\n$`));
  const here = await refusal(open({ path }));
  assert.equal(here.code, "StoreLocked");
  assert.match(here.message, /is open in this process, under another handle/);
  const program = `import { open } from ${JSON.stringify(new URL("../../wasm/dist/node.js", import.meta.url).href)};
    await open({ path: ${JSON.stringify(path)} }).catch((error) => console.log(error.code, error.message));`;
  const there = execFileSync("node", ["--input-type=module", "-e", program], { encoding: "utf8" });
  assert.match(there, new RegExp(`^StoreLocked .*is open in process ${process.pid}: close it there`));
  await broker.close();
  assert.match(claim(), /\npid 0\n.*\n.*\nepoch 1\n/);

  const boot = fs.readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  const owned = (pid, of, start) => `format 1\npid ${pid}\nboot ${of}\nstart ${start}\nepoch 9\nhome native\n`;
  // The parent of a test lives as long as the test.
  fs.writeFileSync(join(path, "OWNER"), owned(process.ppid, boot, 0));
  assert.equal((await refusal(open({ path }))).code, "StoreLocked");
  for (const gone of [owned(process.ppid, "another boot", 0), owned(process.ppid, boot, 1), owned(2 ** 30, boot, 0)]) {
    fs.writeFileSync(join(path, "OWNER"), gone);
    await (await open({ path })).close();
    assert.match(claim(), /\nepoch 10\n/);
  }
});

test("a native lock is honoured, whatever OWNER says", async (t) => {
  const path = directory(t);
  await (await open({ path })).close();
  const holder = spawn("flock", [join(path, "LOCK"), "sh", "-c", "echo held; read wait"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  await new Promise((resolve) => holder.stdout.once("data", resolve));
  const before = fs.readFileSync(join(path, "OWNER"), "utf8");
  assert.equal((await refusal(open({ path }))).code, "StoreLocked");
  assert.equal(fs.readFileSync(join(path, "OWNER"), "utf8"), before);
  const gone = new Promise((resolve) => holder.once("exit", resolve));
  holder.stdin.end("\n");
  await gone;
  await (await open({ path })).close();
});

test("a store that was taken over is not written to", async (t) => {
  const path = directory(t);
  const broker = await open({ path });
  const queue = await broker.queue("jobs");
  const claim = join(path, "OWNER");
  const other = fs.readFileSync(claim, "utf8").replace("epoch 1", "epoch 2");
  fs.writeFileSync(claim, other);
  // It is noticed when the next segment begins.
  const body = new Uint8Array(4 << 20);
  let error;
  for (let n = 0; n < 8 && error === undefined; n++)
    error = await queue.produce(body).then(
      () => undefined,
      (error) => error,
    );
  assert.equal(error.code, "Indeterminate");
  assert.match(error.message, /has taken the store over \(epoch 2, this one has 1\)/);
  assert.equal((await refusal(queue.produce(body))).code, "StoreFailed");
  await broker.close();
  assert.equal(fs.readFileSync(claim, "utf8"), other, "what is somebody else's is left alone");
});

test("after a sync that failed nothing succeeds until the store is opened anew", async (t) => {
  const path = directory(t);
  const broker = await open({ path });
  const queue = await broker.queue("jobs");
  await queue.produce("safe");
  disk.failing = "sync";
  const error = await refusal(queue.produce("unknown")).finally(() => {
    disk.failing = undefined;
  });
  assert.equal(error.code, "Indeterminate");
  assert.match(error.message, /syncing a segment in .*EIO: i\/o error/);
  assert.equal((await refusal(queue.produce("refused"))).code, "StoreFailed");
  await broker.close();
  assert.match(fs.readFileSync(join(path, "OWNER"), "utf8"), /\npid 0\n/, "who has failed owns nothing");
  const again = await open({ path });
  const bodies = await drained(await again.queue("jobs"));
  assert.equal(bodies[0], "safe");
  assert.ok(bodies.length === 1 || (bodies.length === 2 && bodies[1] === "unknown"), `${bodies}`);
  await again.close();
});

test("a full disk is said so, by who opens and by who produces", async (t) => {
  const path = directory(t);
  disk.failing = "write";
  const opening = await refusal(open({ path })).finally(() => {
    disk.failing = undefined;
  });
  assert.equal(opening.code, "StoreFailed");
  assert.match(
    opening.message,
    /making a segment file in .*no space left on device.*; free some space, then open the store again/,
  );
  assert.deepEqual(
    fs.readdirSync(path).filter((name) => name.endsWith(".seg")),
    [],
    "nothing of it is kept",
  );
  const broker = await open({ path });
  const queue = await broker.queue("jobs");
  disk.failing = "write";
  const error = await refusal(queue.produce("a")).finally(() => {
    disk.failing = undefined;
  });
  assert.match(error.message, /free some space/);
  await broker.close();
  await (await open({ path })).close();
});

test("a real limit of the system on files ends an opening as well", (t) => {
  const path = directory(t);
  const program = `import { open } from ${JSON.stringify(new URL("../../wasm/dist/node.js", import.meta.url).href)};
    await open({ path: ${JSON.stringify(path)} }).catch((error) => console.log(error.code, error.message));`;
  fs.writeFileSync(join(path, "OWNER"), "");
  const limited = "trap '' XFSZ; ulimit -f 2048; exec node --input-type=module -e \"$0\"";
  const said = execFileSync("bash", ["-c", limited, program], { encoding: "utf8" });
  assert.match(said, /^StoreFailed .*making a segment file in .*EFBIG/);
  assert.deepEqual(fs.readdirSync(path), ["OWNER"]);
});

test("what is no store is refused and left alone", async (t) => {
  const path = directory(t);
  const file = join(path, "letter.txt");
  fs.writeFileSync(file, "dear");
  const before = everything(path);
  for (const [wrong, code, what] of [
    [path, "InvalidArgument", /is not a store: it holds "letter.txt"/],
    [file, "InvalidArgument", /is a file; a store is a directory/],
    [join(path, "no", "such"), "StoreFailed", /make the directory above it first/],
    ["", "InvalidArgument", /pass the name of a directory/],
    [5, "InvalidArgument", /path is 5/],
    ["a\0b", "InvalidArgument", /pass the name of a directory/],
  ]) {
    const error = await refusal(open({ path: wrong }));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, what);
  }
  const both = await refusal(open({ path: join(path, "data"), storage: "memory" }));
  assert.equal(both.code, "InvalidArgument");
  assert.equal((await refusal(open({ storage: { file: "x" } }))).code, "InvalidArgument");
  assert.equal((await refusal(openTesting({ storage: "store" }))).code, "InvalidArgument");
  assert.equal((await refusal(openTesting({ path }))).code, "InvalidArgument");
  assert.equal((await refusal(open({ path: join(path, "data"), lease: -1 }))).code, "InvalidArgument");
  assert.deepEqual(everything(path), before, "nothing was touched");
});

test("without the rights a store is refused and left alone", (t) => {
  const path = directory(t);
  fs.chmodSync(path, 0o755);
  const store = join(path, "data");
  const program = `import { open } from ${JSON.stringify(new URL("../../wasm/dist/node.js", import.meta.url).href)};
    const path = ${JSON.stringify(store)};
    await (await open({ path })).close();
    const { chmodSync } = await import("node:fs");
    // Root may everything: from here on as nobody.
    if (process.getuid() === 0) process.seteuid(65534);
    for (const [mode, at] of [[0o555, path + "/new"], [0o555, path], [0o000, path]]) {
      const own = process.geteuid();
      if (process.getuid() === 0) process.seteuid(0);
      chmodSync(path, mode);
      if (process.getuid() === 0) process.seteuid(own);
      await open({ path: at }).catch((error) => console.log(error.code, error.message));
    }
    if (process.getuid() === 0) process.seteuid(0);
    chmodSync(path, 0o755);`;
  const lines = execFileSync("node", ["--input-type=module", "-e", program], { encoding: "utf8" }).trim().split("\n");
  assert.equal(lines.length, 3, lines.join("\n"));
  for (const line of lines) {
    assert.match(line, /^StoreFailed .*EACCES: permission denied.*; give this user the right to read and write there/);
  }
  assert.match(fs.readFileSync(join(store, "OWNER"), "utf8"), /\npid 0\n.*\n.*\nepoch 1\n/);
});

test("damage and newer formats are refused, and what was found is left alone", async (t) => {
  const path = directory(t);
  const broker = await open({ path });
  await (await broker.queue("jobs")).produce("first");
  await broker.close();
  const [name] = fs.readdirSync(path).filter((name) => name.endsWith(".seg"));
  const bytes = fs.readFileSync(join(path, name));
  const ruined = Buffer.from(bytes);
  // Its frames stay; what they belong to, at both ends, and the first of them is gone.
  ruined.fill(0xff, 0, 600);
  ruined.fill(0xff, ruined.length - 512);
  fs.writeFileSync(join(path, name), ruined);
  const error = await refusal(open({ path }));
  assert.equal(error.code, "StoreCorrupt", error.message);
  assert.match(error.message, /nothing was changed: restore a backup/);
  assert.ok(fs.readFileSync(join(path, name)).equals(ruined));
  assert.match(fs.readFileSync(join(path, "OWNER"), "utf8"), /\npid 0\n/, "who was refused owns nothing");
  fs.writeFileSync(join(path, name), bytes);
  const again = await open({ path });
  assert.deepEqual(await drained(await again.queue("jobs")), ["first"]);
  await again.close();
});

test("damage is named, and everything else is served", async (t) => {
  const path = directory(t);
  const broker = await open({ path });
  const [jobs, other] = [await broker.queue("jobs"), await broker.queue("other")];
  for (const body of ["first", "second", "third"]) await jobs.produce(body);
  await other.produce("elsewhere");
  await broker.close();
  const [name] = fs.readdirSync(path).filter((name) => name.endsWith(".seg"));
  const bytes = fs.readFileSync(join(path, name));
  bytes[bytes.indexOf("second")] ^= 1;
  fs.writeFileSync(join(path, name), bytes);
  const lines = [];
  const log = { debug() {}, warn: (line) => lines.push(line), error() {} };
  const again = await open({ path, log });
  const { damage } = again.storage;
  assert.equal(damage.length, 1);
  assert.match(
    damage[0],
    /bytes \d+ to \d+ of file 1 cannot be read.*queues that it may be about: jobs; messages 2 to 2 may be lost/,
  );
  assert.deepEqual(lines, [`ferrymq: ${damage[0]}`]);
  assert.deepEqual(await drained(await again.queue("jobs")), ["first", "third"]);
  assert.deepEqual(await drained(await again.queue("other")), ["elsewhere"]);
  await again.close();
});

test("another thread of this process is another owner", async (t) => {
  const path = directory(t);
  const broker = await open({ path });
  const program = `const { parentPort } = require("node:worker_threads");
    import(${JSON.stringify(new URL("../../wasm/dist/node.js", import.meta.url).href)})
      .then(({ open }) => open({ path: ${JSON.stringify(path)} }))
      .then(() => parentPort.postMessage("opened"), (error) => parentPort.postMessage(error.code + error.message));`;
  const said = () =>
    new Promise((resolve, reject) => {
      const worker = new Worker(program, { eval: true });
      worker.once("message", (message) => worker.terminate().then(() => resolve(message)));
      worker.once("error", reject);
    });
  assert.match(await said(), /^StoreLocked.*is open in this process/);
  await broker.close();
  assert.equal(await said(), "opened");
});

test("network file systems are known by their numbers", () => {
  assert.equal(networkFileSystem(0x6969), "NFS");
  assert.equal(networkFileSystem(0xff534d42 | 0), "CIFS", "also where the number came with a sign");
  assert.equal(networkFileSystem(0xef53), undefined);
});

test("a clock that was set back does not take time back", async (t) => {
  const path = directory(t);
  const ahead = await openTesting({ storage: "store", path });
  ahead.testing.advanceTo(Date.now() + 3_600_000);
  await (await ahead.broker.queue("jobs")).produce("later");
  await ahead.broker.close();
  const broker = await open({ path });
  const delivery = await (await broker.queue("jobs")).consume();
  await (await broker.queue("jobs")).produce("after");
  const next = await (await broker.queue("jobs")).consume();
  assert.ok(delivery.producedAt > Date.now());
  assert.ok(next.producedAt >= delivery.producedAt);
  await broker.close();
});

/** Runs the producer until it has said so many lines, kills it, and gives the lines. */
async function killedAfter(path, first, count) {
  const child = spawn("node", [PRODUCER, path, String(first)], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = new Promise((resolve) => child.once("exit", (code, signal) => resolve(signal ?? code)));
  const lines = [];
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    if (lines.length === count) child.kill("SIGKILL");
  }
  assert.equal(await exited, "SIGKILL");
  return lines;
}

test("kill -9: nothing confirmed is lost, no durable ack comes back, order stays", async (t) => {
  const path = directory(t);
  const produced = new Set();
  const handed = new Set();
  const acked = new Set();
  for (const [cycle, count] of [1, 40, 150, 7, 300, 90].entries()) {
    for (const line of await killedAfter(path, 1000 * cycle, count)) {
      const [what, body] = line.split(" ");
      ({ produced, handed, acked })[what].add(body);
      if (what === "handed") assert.ok(!acked.has(body), `${body} was acked and came again`);
    }
    const broker = await open({ path });
    const queue = await broker.queue("jobs", { create: false });
    const waiting = (await queue.peek(100_000)).map((message) => message.text());
    await broker.close();
    assert.equal(new Set(waiting).size, waiting.length, "none is there twice");
    for (const body of waiting) assert.ok(!acked.has(body), `${body} was acked durably and is back`);
    const there = new Set(waiting);
    for (const body of produced) assert.ok(there.has(body) || handed.has(body), `${body} was confirmed and is gone`);
    for (const lane of ["a", "b", "c"]) {
      const own = waiting.filter((body) => body.startsWith(lane)).map((body) => Number(body.slice(2)));
      assert.deepEqual(
        own,
        own.toSorted((x, y) => x - y),
      );
    }
  }
  assert.ok(acked.size > 0 && produced.size > 100, `${acked.size} acked of ${produced.size}`);
});
