// Proves the API's own promises, those that the vectors cannot see: what bodies and headers become, how waits end, that every promise settles.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FerryError, open, outgoing } from "../../wasm/dist/node.js";
import { openTesting } from "../../wasm/dist/testing.node.js";

/** Whether a promise has settled, once everything has that can without time passing. */
async function settled(promise) {
  let done = false;
  promise.then(
    () => (done = true),
    () => (done = true),
  );
  await new Promise(setImmediate);
  return done;
}

async function fresh(t, options) {
  const broker = await open();
  t.after(() => broker.close());
  return { broker, queue: await broker.queue("q", options) };
}

test("bodies are bytes, text as UTF-8, everything else JSON", async (t) => {
  const { queue } = await fresh(t);
  const bytes = new Uint8Array([0, 255, 1]);
  await queue.produceMany([bytes, bytes.buffer, "grüße 🚀", { a: [1, null, "x"] }, 7, null, new Date(0), ""]);
  const all = await queue.consumeMany(10);
  assert.deepEqual([...all[0].bytes()], [0, 255, 1]);
  assert.equal(all[0].contentType, undefined);
  assert.deepEqual([...all[1].bytes()], [0, 255, 1]);
  assert.equal(all[2].text(), "grüße 🚀");
  assert.equal(all[2].contentType, "text/plain; charset=utf-8");
  assert.deepEqual(all[3].json(), { a: [1, null, "x"] });
  assert.equal(all[3].contentType, "application/json");
  assert.equal(all[4].json(), 7);
  assert.equal(all[5].json(), null);
  assert.equal(all[6].json(), "1970-01-01T00:00:00.000Z");
  assert.equal(all[7].bytes().length, 0);
  assert.throws(() => all[0].text(), { code: "InvalidArgument" });
  assert.throws(() => all[2].json(), { code: "InvalidArgument" });
});

test("single bodies come out as they went in, one by one", async (t) => {
  const { queue } = await fresh(t);
  for (const body of ["", "a", "é".repeat(5000), JSON.stringify({ deep: "x".repeat(100_000) })]) {
    await queue.produce(body, { contentType: "x/y", key: "k" });
    const delivery = await queue.consume();
    assert.equal(delivery.text(), body);
    assert.deepEqual([delivery.contentType, delivery.key, delivery.queue], ["x/y", "k", "q"]);
    await delivery.ack();
  }
  const large = new Uint8Array(16 * 1024 * 1024).fill(3);
  await queue.produce(large);
  assert.deepEqual((await queue.consume({ autoAck: true })).bytes(), large);
  await assert.rejects(queue.produce(new Uint8Array(large.length + 1)), { code: "MessageTooLarge", retryable: false });
});

test("a delivery's bytes are its own: later messages leave them alone", async (t) => {
  const { queue } = await fresh(t);
  await queue.produce(new Uint8Array([1, 1, 1]));
  const first = await queue.consume();
  const bytes = first.bytes();
  for (let i = 0; i < 2000; i++) await queue.produce(new Uint8Array(1000).fill(2));
  await queue.consumeMany(2000);
  assert.deepEqual([...bytes], [1, 1, 1]);
});

test("headers keep their types", async (t) => {
  const { queue } = await fresh(t);
  const headers = {
    none: null,
    yes: true,
    no: false,
    int: -5,
    big: 2n ** 62n,
    float: 1.5,
    minusZero: -0,
    text: "ü",
    bytes: new Uint8Array([9]),
    at: new Date(1234),
    list: [1, "a", [null]],
    map: { inner: { x: 1 } },
    left: undefined,
  };
  await queue.produce("x", { headers });
  const out = (await queue.consume()).headers;
  const { left, ...kept } = headers;
  assert.deepEqual(out, { ...kept, bytes: new Uint8Array([9]) });
  assert.ok(Object.is(out.minusZero, -0));
  await queue.produce("x", { headers: new Map([["__proto__", { polluted: true }]]) });
  const hostile = (await queue.consume()).headers;
  assert.deepEqual(Object.keys(hostile), ["__proto__"]);
  assert.equal({}.polluted, undefined);
});

test("a wait ends with a message, with the time, with the signal, or with the broker", async (t) => {
  const { broker, queue } = await fresh(t);
  const waiting = queue.consume({ timeout: null });
  assert.equal(await settled(waiting), false);
  await queue.produce("a");
  assert.equal((await waiting).text(), "a");
  assert.equal(await queue.consume({ timeout: 5 }), undefined);
  const last = queue.consume({ timeout: null });
  await broker.close();
  await assert.rejects(last, { code: "Closed" });
});

test("an abort rejects with the signal's reason and loses no message", async (t) => {
  const { queue } = await fresh(t);
  const reason = new Error("enough");
  await assert.rejects(queue.consume({ signal: AbortSignal.abort(reason) }), reason);
  const controller = new AbortController();
  const waiting = queue.consume({ timeout: null, signal: controller.signal });
  const many = queue.consumeMany(5, { timeout: null, signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(waiting, reason);
  await assert.rejects(many, reason);
  await queue.produce("a");
  const { ready, leased } = await queue.stats();
  assert.deepEqual([ready, leased], [1, 0]);
  const late = new AbortController();
  const got = queue.consume({ timeout: null, signal: late.signal });
  late.abort(reason);
  assert.equal((await got).text(), "a", "what was handed over before the abort stays handed over");
});

test("a blocked produce waits for room, and an abort takes it out of the line", async (t) => {
  const { queue } = await fresh(t, { capacity: 1, overflow: "block" });
  await queue.produce("a");
  const controller = new AbortController();
  const aborted = queue.produce("b", { signal: controller.signal });
  const blocked = queue.produce("c");
  assert.equal(await settled(blocked), false);
  controller.abort(new Error("no"));
  await assert.rejects(aborted, /no/);
  await (await queue.consume()).ack();
  await blocked;
  assert.equal((await queue.consume()).text(), "c");
  await assert.rejects(queue.produceMany(["d", "e"]), { code: "QueueFull", retryable: true });
  await assert.rejects(queue.produce("d", { timeout: 3 }), { code: "QueueFull" });
});

test("ackMany acks what it can and lists the rest, also what was passed twice", async (t) => {
  const { queue } = await fresh(t);
  await queue.produceMany(["a", "b", "c"]);
  const [a, b, c] = await queue.consumeMany(3);
  await b.ack();
  const error = await queue.ackMany([a, b, c.token, c]).catch((error) => error);
  assert.ok(error instanceof FerryError);
  assert.equal(error.code, "LeaseLost");
  assert.deepEqual(error.lost, [b, c]);
  assert.equal(await queue.size(), 0);
});

test("a token settles from anywhere, and only its own delivery", async (t) => {
  const { queue } = await fresh(t);
  await queue.produce("a");
  const { token } = await queue.consume();
  assert.equal(token.length, 24);
  await queue.extend(token, 5000);
  await queue.release(token);
  await assert.rejects(queue.ack(token), { code: "LeaseLost" });
  await assert.rejects(queue.ack(token.slice(1)), { code: "InvalidArgument" });
  const other = await open();
  t.after(() => other.close());
  const stranger = await other.queue("q");
  await queue.produce("b");
  await assert.rejects(stranger.ack((await queue.consume()).token), { code: "LeaseLost" });
});

test("with autoAck there is nothing to settle", async (t) => {
  const { queue } = await fresh(t);
  await queue.produce("a");
  const delivery = await queue.consume({ autoAck: true });
  assert.equal(delivery.token, undefined);
  for (const settle of ["ack", "nack", "reject", "release"]) {
    await assert.rejects(delivery[settle](), { code: "LeaseLost" });
  }
  await assert.rejects(delivery.extend(5), { code: "LeaseLost" });
});

test("an exchange that is found by its name says its kind", async (t) => {
  const { broker, queue } = await fresh(t);
  await broker.exchange("h", { kind: "headers", alternate: "rest" });
  const found = await broker.exchange("h", { create: false });
  assert.equal(found.kind, "headers");
  assert.equal((await broker.exchange("new")).kind, "topic");
  assert.equal((await broker.exchange("")).kind, "direct");
  await found.bind(queue, "", { headers: new Map([["n", 1n]]), match: "any" });
  assert.equal(await found.publish("x", { headers: { n: 1 } }), 1);
  assert.equal(await found.publish("x", { headers: { n: 2 } }), 0);
  await found.unbind(queue, undefined, { headers: { n: 1 }, match: "any" });
  assert.equal(await found.publish("x", { headers: { n: 1 } }), 0);
  await assert.rejects(found.unbind(queue), { code: "NotFound" });
  await (await broker.exchange("rest", { kind: "fanout" })).bind(queue);
  assert.equal(await found.publish("x"), 1);
});

test("a transaction commits all of it, or nothing, and gives what its work gave", async (t) => {
  const { broker, queue } = await fresh(t);
  const out = await broker.queue("out", { capacity: 1 });
  const events = await broker.exchange("events", { kind: "direct" });
  await events.bind(out, "k");
  await queue.produce("in");
  const delivery = await queue.consume();
  await assert.rejects(
    broker.transaction((tx) => {
      tx.produce(out, "x");
      tx.produce(out, "y");
      tx.ack(delivery);
    }),
    { code: "QueueFull" },
  );
  const failure = new Error("work failed");
  await assert.rejects(
    broker.transaction(async (tx) => {
      tx.ack(delivery);
      throw failure;
    }),
    failure,
  );
  assert.equal((await queue.stats()).leased, 1);
  let kept;
  const result = await broker.transaction(async (tx) => {
    kept = tx;
    tx.ack(delivery);
    tx.produce(events, { n: 1 }, { key: "k" });
    assert.throws(() => tx.produce(out, undefined), { code: "InvalidArgument" });
    assert.equal(await out.size(), 0, "nothing is visible before the commit");
    return "done";
  });
  assert.equal(result, "done");
  assert.deepEqual(kept.results, [undefined, 1]);
  assert.throws(() => kept.ack(delivery), { code: "Closed" });
  assert.deepEqual((await out.consume()).json(), { n: 1 });
  await broker.transaction(() => {});
});

test("a transaction of a million operations is refused early", async (t) => {
  const { broker, queue } = await fresh(t);
  let added = 0;
  const million = broker.transaction((tx) => {
    for (; added < 1_000_000; added += 1) tx.produce(queue, "x");
  });
  await assert.rejects(million, { code: "InvalidArgument", message: /at most 100000 operations/ });
  assert.equal(added, 100_000);
  assert.equal((await queue.stats()).size, 0);
  await broker.transaction((tx) => {
    for (let n = 0; n < 100_000; n += 1) tx.produce(queue, "x");
  });
  assert.equal((await queue.stats()).size, 100_000);
});

test("statistics have JavaScript's names, and numbers where a number holds them", async (t) => {
  const { broker } = await fresh(t);
  const queue = await broker.queue("huge", { capacity: 2n ** 60n, capacityBytes: 10 });
  const stats = await queue.stats();
  assert.equal(stats.capacity, 2n ** 60n);
  assert.equal(stats.deadLettered, 0);
  assert.deepEqual(
    (await broker.queues()).map(({ name }) => name),
    ["huge", "q"],
  );
  assert.equal((await broker.stats()).queues, 2);
  assert.equal(typeof (await broker.stats()).memoryLimit, "number");
});

test("options of one batch may differ, and a batch is all or nothing", async (t) => {
  const { queue } = await fresh(t, { priorities: 3, capacity: 3 });
  const ids = await queue.produceMany(["low", outgoing("high", { priority: 2, headers: { a: 1 } })]);
  assert.ok(ids[0] < ids[1]);
  assert.equal((await queue.consume()).text(), "high");
  await assert.rejects(queue.produceMany(["a", "b"]), { code: "QueueFull" });
  await assert.rejects(queue.produceMany(["a", outgoing("b", { priority: 9 })]), { code: "InvalidArgument" });
  assert.equal(await queue.size(), 2);
  assert.deepEqual(await queue.produceMany([]), []);
});

test("calls that arguments make while they are read do not mix with the call they are in", async (t) => {
  const { broker, queue } = await fresh(t);
  const log = await broker.queue("log");
  function* items() {
    for (let i = 0; i < 3; i++) {
      log.produce(`making ${i}`);
      const toJSON = () => {
        log.produce(`writing ${i}`);
        return { i };
      };
      yield { toJSON };
    }
  }
  await queue.produceMany(items());
  assert.deepEqual(
    (await queue.consumeMany(9)).map((delivery) => delivery.json().i),
    [0, 1, 2],
  );
  assert.deepEqual(
    (await log.consumeMany(9)).map((delivery) => delivery.text()),
    ["making 0", "writing 0", "making 1", "writing 1", "making 2", "writing 2"],
  );
});

test("a broker that is closed says so, everywhere, and closing twice is once", async () => {
  const broker = await open();
  const queue = await broker.queue("q");
  const exchange = await broker.exchange("e");
  await queue.produce("a");
  const delivery = await queue.consume();
  await broker.close();
  await broker.close();
  const calls = [
    () => broker.queue("q"),
    () => broker.exchange("e"),
    () => broker.stats(),
    () => broker.queues(),
    () => broker.transaction((tx) => tx.ack(delivery)),
    () => queue.produce("a"),
    () => queue.produceMany(["a"]),
    () => queue.consume(),
    () => queue.consumeMany(1, { timeout: null }),
    () => queue.size(),
    () => queue.delete(),
    () => exchange.publish("a"),
    () => exchange.bind(queue),
    () => delivery.ack(),
    () => delivery.nack(),
    () => delivery.extend(1),
  ];
  for (const call of calls) await assert.rejects(call(), { code: "Closed" }, String(call));
  assert.equal(delivery.text(), "a", "what was read stays readable");
});

test("await using closes", async () => {
  const broker = await open();
  await broker[Symbol.asyncDispose]();
  await assert.rejects(broker.stats(), { code: "Closed" });
});

test("storage is what it really is", async (t) => {
  const { broker } = await fresh(t);
  assert.deepEqual(broker.storage, { backend: "memory", durability: "memory", persisted: false, damage: [] });
  for (const storage of ["opfs", "indexeddb", { name: "./data" }, 5, null]) {
    await assert.rejects(open({ storage }), { code: "InvalidArgument", message: /memory|no option "name"/ });
  }
});

test("brokers share nothing", async (t) => {
  const { queue } = await fresh(t);
  const { queue: other } = await fresh(t);
  await queue.produce("mine");
  assert.equal(await other.consume(), undefined);
});

test("the testing broker's time and disk move only when told", async () => {
  const { broker, testing } = await openTesting({ storage: "manual" });
  const declared = broker.queue("q", { lease: 1000 });
  assert.equal(await settled(declared), false);
  testing.sync();
  const queue = await declared;
  const produced = queue.produce("a");
  assert.equal(await settled(produced), false);
  assert.equal(await queue.consume(), undefined);
  testing.sync();
  await produced;
  const delivery = await queue.consume();
  testing.advanceTo(1000);
  await assert.rejects(delivery.ack(), { code: "LeaseLost" });
  assert.throws(() => testing.advanceTo(999), { code: "InvalidArgument" });
  const unsynced = queue.produce("b");
  testing.powerCut();
  await assert.rejects(unsynced, { code: "Closed" });
  await assert.rejects(queue.consume(), { code: "Closed" });
  await testing.reopen();
  const again = await queue.consume();
  assert.deepEqual([again.text(), await queue.size()], ["a", 1], "handles find their queue again");
  const failing = queue.produce("c");
  testing.syncFails();
  await assert.rejects(failing, { code: "Indeterminate" });
  await assert.rejects(queue.produce("d"), { code: "StoreFailed" });
  await broker.close();
});
