// Proves consumers and subscriptions as JavaScript has them: how they end, what an abort does, that a lease lives as long as its handler. Time is moved by hand.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FerryError, open } from "../../wasm/dist/node.js";
import { openTesting } from "../../wasm/dist/testing.node.js";

/** Everything has happened that can without time passing. */
const turn = () => new Promise(setImmediate);

/** A promise, and what settles it. */
function deferred() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}

async function fresh(t, options, opening) {
  const { broker, testing } = await openTesting(opening);
  t.after(() => broker.close());
  return { broker, testing, queue: await broker.queue("q", options) };
}

/** Ready and leased. */
async function counts(queue) {
  const { ready, leased } = await queue.stats();
  return [ready, leased];
}

test("a consumer is iterated, and leaving the loop gives back what is reserved", async (t) => {
  const { queue } = await fresh(t);
  await queue.produceMany(["a", "b", "c", "d"]);
  const seen = [];
  for await (const delivery of queue.consumer({ prefetch: 3 })) {
    seen.push(delivery.text());
    if (seen.length === 2) {
      assert.deepEqual(await counts(queue), [0, 3]);
      break;
    }
    await delivery.ack();
  }
  assert.deepEqual(seen, ["a", "b"]);
  assert.deepEqual(await counts(queue), [2, 1]);
});

test("an abort ends an iteration with the signal's reason, also one that waits", async (t) => {
  const { queue } = await fresh(t);
  await queue.produceMany(["a", "b"]);
  const controller = new AbortController();
  const consumer = queue.consumer({ signal: controller.signal });
  await (await consumer.next()).value.ack();
  assert.deepEqual(await counts(queue), [0, 1]);
  controller.abort(new Error("enough"));
  await assert.rejects(consumer.next(), /enough/);
  assert.deepEqual(await counts(queue), [1, 0]);
  const later = new AbortController();
  const empty = (await fresh(t)).queue.consumer({ signal: later.signal });
  const waiting = assert.rejects(empty.next(), /no more/);
  later.abort(new Error("no more"));
  await waiting;
  assert.throws(() => queue.consumer({ signal: controller.signal }), /enough/);
});

test("one signal may end any number of waits, and Node has nothing to warn of", async (t) => {
  const { broker, queue } = await fresh(t);
  const warnings = [];
  const warn = (warning) => warnings.push(warning.name);
  process.on("warning", warn);
  t.after(() => process.off("warning", warn));
  const controller = new AbortController();
  const { signal } = controller;
  const sub = (await broker.queue("other")).subscribe(() => {}, { signal });
  const asked = await broker.queue("asked");
  const waits = Array.from({ length: 30 }, () => [
    queue.consume({ signal, timeout: null }),
    queue.consumer({ signal }).next(),
    asked.request("x", { signal }),
  ]).flat();
  const ends = Promise.allSettled(waits);
  await turn();
  controller.abort(new Error("all of them"));
  for (const { status, reason } of await ends) assert.deepEqual([status, reason?.message], ["rejected", "all of them"]);
  assert.equal(await sub.ended, undefined);
  await turn();
  assert.deepEqual(warnings, []);
});

test("a consumer that waits ends when it is closed, when it is disposed of, and with the broker", async (t) => {
  const { broker, queue } = await fresh(t);
  const consumers = [queue.consumer(), queue.consumer(), queue.consumer()];
  const waiting = consumers.map((consumer) => consumer.next());
  await consumers[0].close();
  await consumers[0].close();
  assert.deepEqual(await waiting[0], { done: true, value: undefined });
  await consumers[1][Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose")]();
  assert.deepEqual(await waiting[1], { done: true, value: undefined });
  await broker.close();
  assert.deepEqual(await waiting[2], { done: true, value: undefined });
  await consumers[2].close();
});

test("a handler that resolves acks, one that rejects nacks with the error as reason", async (t) => {
  const lines = [];
  const log = { debug() {}, warn() {}, error: (line, error) => lines.push([line, error.message]) };
  const { queue } = await fresh(t, { maxAttempts: 1 }, { log });
  const sub = queue.subscribe(async (delivery) => {
    if (delivery.text() !== "good") throw new TypeError(`no ${delivery.text()}`);
  });
  await queue.produceMany(["good", "bad"]);
  await turn();
  assert.equal(await queue.size(), 0);
  const { acked, nacked, deadLettered } = await queue.stats();
  assert.deepEqual([acked, nacked, deadLettered], [1, 1, 1]);
  assert.deepEqual(lines, [['ferrymq: a handler failed on queue "q"', "no bad"]]);
  assert.equal(await sub.stop(), true);
  assert.equal(await sub.ended, undefined);
});

test("the reason of a dead letter is what the handler threw", async (t) => {
  const { broker, queue } = await fresh(t, { maxAttempts: 1 });
  for (const thrown of [new TypeError("no"), "text", undefined, { toString: () => "object" }, Object.create(null)]) {
    const sub = queue.subscribe(() => {
      throw thrown;
    });
    await queue.produce("x");
    await turn();
    await sub.stop();
  }
  const dead = await (await broker.queue("q.dead")).peek(10);
  assert.deepEqual(
    dead.map(({ headers }) => headers["x-dead-detail"]),
    ["TypeError: no", "text", "undefined", "object", "something was thrown that is no text"],
  );
});

test("a message that its handler has settled is left alone", async (t) => {
  const { queue } = await fresh(t, { deadLetter: false });
  const verbs = ["ack", "release", "reject", "nack"];
  let next = 0;
  const sub = queue.subscribe(async (delivery) => {
    const verb = verbs[next++];
    if (verb === undefined) return;
    await delivery[verb](verb === "nack" ? { delay: 1000 } : undefined);
    if (verb === "nack") throw new Error("after it was settled");
  });
  await queue.produceMany(["a", "b"]);
  await turn();
  const { acked, released, rejected, nacked } = await queue.stats();
  assert.deepEqual({ acked, released, rejected, nacked }, { acked: 1, released: 1, rejected: 1, nacked: 0 });
  await queue.produce("c");
  await turn();
  assert.equal((await queue.stats()).nacked, 1);
  assert.equal(await sub.stop(), true);
});

test("as many handlers run at once as concurrency says, and no message is reserved beyond them", async (t) => {
  const { queue } = await fresh(t);
  await queue.produceMany(Array.from({ length: 10 }, (_, i) => String(i)));
  const gates = [];
  let most = 0;
  let running = 0;
  const sub = queue.subscribe(
    async () => {
      most = Math.max(most, ++running);
      const gate = deferred();
      gates.push(gate);
      await gate.promise;
      running -= 1;
    },
    { concurrency: 3 },
  );
  await turn();
  assert.deepEqual(await counts(queue), [7, 3]);
  while (gates.length > 0) {
    gates.shift().resolve();
    await turn();
  }
  assert.equal(most, 3);
  assert.equal(await queue.size(), 0);
  await sub.stop();
});

test("the lease is renewed while the handler runs, and ends after it", async (t) => {
  const { queue, testing } = await fresh(t, { lease: 900 });
  const gate = deferred();
  const attempts = [];
  const sub = queue.subscribe(async (delivery) => {
    attempts.push(delivery.attempt);
    await gate.promise;
  });
  await queue.produce("long");
  await turn();
  testing.advanceTo(20_000);
  await turn();
  assert.deepEqual(await counts(queue), [0, 1]);
  gate.resolve();
  await turn();
  assert.equal(await queue.size(), 0);
  assert.deepEqual(attempts, [1]);
  await sub.stop();
});

test("a handler that settles early and goes on is not aborted by the renewal that finds nothing", async (t) => {
  const { queue, testing } = await fresh(t, { lease: 900 });
  const gate = deferred();
  let signal;
  const sub = queue.subscribe(async (delivery, context) => {
    signal = context.signal;
    await delivery.ack();
    await gate.promise;
  });
  await queue.produce("x");
  await turn();
  testing.advanceTo(5000);
  await turn();
  assert.equal(signal.aborted, false);
  gate.resolve();
  assert.equal(await sub.stop(), true);
});

test("a handler whose queue was deleted settles nothing, and its subscription says why it ended", async (t) => {
  const { broker, queue, testing } = await fresh(t, { lease: 900 });
  const gate = deferred();
  const sub = queue.subscribe(() => gate.promise);
  await queue.produce("x");
  await turn();
  await queue.delete();
  testing.advanceTo(5000);
  gate.resolve();
  const ended = await sub.ended;
  assert.equal(ended.code, "NotFound");
  assert.equal(await sub.stop(), true);
  assert.equal((await broker.stats()).messages, 0);
});

test("stop waits for what runs, and gives back what was reserved at once", async (t) => {
  const { queue } = await fresh(t);
  const gate = deferred();
  const sub = queue.subscribe(() => gate.promise);
  await queue.produceMany(["a", "b"]);
  await turn();
  const stopped = sub.stop();
  await turn();
  assert.deepEqual(await counts(queue), [1, 1]);
  gate.resolve();
  assert.equal(await stopped, true);
  assert.deepEqual(await counts(queue), [1, 0]);
  assert.equal(await sub.stop(), true);
});

test("stop gives back, uncounted, what is not finished in time; the handler hears of it", async (t) => {
  const { queue, testing } = await fresh(t);
  const never = deferred();
  const seen = [];
  const sub = queue.subscribe(async (_, { signal }) => {
    signal.addEventListener("abort", () => seen.push(signal.reason.code));
    await never.promise;
  });
  await queue.produce("a");
  await turn();
  const stopped = sub.stop({ timeout: 500 });
  testing.advanceTo(499);
  await turn();
  assert.deepEqual(seen, []);
  testing.advanceTo(500);
  assert.equal(await stopped, false);
  assert.deepEqual(seen, ["Closed"]);
  const again = await queue.consume();
  assert.equal(again.attempt, 1);
  never.resolve();
  await turn();
  assert.deepEqual(await counts(queue), [0, 1]);
});

test("aborting the subscription's signal stops it; a handler that ends for that gives its message back", async (t) => {
  const { queue } = await fresh(t);
  const controller = new AbortController();
  const sub = queue.subscribe(
    (_, { signal }) =>
      new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason));
      }),
    { signal: controller.signal },
  );
  await queue.produceMany(["a", "b"]);
  await turn();
  controller.abort(new Error("the page closes"));
  assert.equal(await sub.ended, undefined);
  const { ready, nacked, released } = await queue.stats();
  assert.deepEqual({ ready, nacked, released }, { ready: 2, nacked: 0, released: 1 });
  assert.throws(() => queue.subscribe(() => {}, { signal: controller.signal }), /the page closes/);
});

test("a handler may close the broker, or stop its subscription without waiting for it", async (t) => {
  const { broker, queue } = await fresh(t);
  const sub = queue.subscribe(() => {
    sub.stop();
  });
  await queue.produceMany(["a", "b"]);
  await turn();
  assert.equal(await sub.ended, undefined);
  assert.deepEqual(await counts(queue), [1, 0]);
  let context;
  const other = queue.subscribe(async (_, given) => {
    context = given;
    await broker.close();
  });
  await turn();
  assert.equal(await other.ended, undefined);
  assert.equal(context.signal.reason.code, "Closed");
  assert.equal(await other.stop(), true);
});

test("a kill ends subscriptions, and the store that is opened anew has what they had", async (t) => {
  const { broker, testing } = await openTesting({ storage: "manual" });
  t.after(() => broker.close());
  const declared = broker.queue("q");
  testing.sync();
  const queue = await declared;
  const never = deferred();
  const sub = queue.subscribe(() => never.promise);
  const produced = queue.produce("x");
  testing.sync();
  await produced;
  await turn();
  testing.kill();
  assert.equal(await sub.ended, undefined);
  const reopened = testing.reopen();
  testing.sync();
  await reopened;
  assert.equal((await queue.consume()).attempt, 2);
});

test("in time that runs, a handler outlives its lease", async (t) => {
  const broker = await open({ lease: 100 });
  t.after(() => broker.close());
  const queue = await broker.queue("q");
  const done = deferred();
  const attempts = [];
  const sub = queue.subscribe(async (delivery) => {
    attempts.push(delivery.attempt);
    // Three leases long, without which there is nothing to renew.
    await new Promise((resolve) => setTimeout(resolve, 350));
    done.resolve();
  });
  await queue.produce("x");
  await done.promise;
  await sub.stop();
  assert.deepEqual(attempts, [1]);
  assert.equal((await queue.stats()).acked, 1);
});

test("wrong arguments of consumer, subscribe and stop are refused with a sentence", async (t) => {
  const { queue } = await fresh(t);
  const wrong = [
    () => queue.consumer({ prefetch: 0 }),
    () => queue.consumer({ prefetch: 65_536 }),
    () => queue.consumer({ prefetch: 1.5 }),
    () => queue.consumer({ autoAck: 1 }),
    () => queue.consumer({ signal: {} }),
    () => queue.consumer({ colour: 1 }),
    () => queue.consumer(5),
    () => queue.subscribe(),
    () => queue.subscribe("f"),
    () => queue.subscribe(() => {}, { concurrency: 0 }),
    () => queue.subscribe(() => {}, { concurrency: 65_536 }),
    () => queue.subscribe(() => {}, { concurrency: "2" }),
    () => queue.subscribe(() => {}, { signal: 1 }),
    () => queue.subscribe(() => {}, { name: "x" }),
  ];
  for (const call of wrong) {
    assert.throws(call, (error) => {
      assert.ok(error instanceof FerryError, String(call));
      assert.equal(error.code, "InvalidArgument", String(call));
      return true;
    });
  }
  const sub = queue.subscribe(() => {});
  await assert.rejects(sub.stop({ timeout: -1 }), { code: "InvalidArgument" });
  await assert.rejects(sub.stop({ seconds: 1 }), { code: "InvalidArgument" });
  await sub.stop();
  await queue.delete();
  assert.throws(() => queue.consumer(), { code: "NotFound" });
  assert.throws(() => queue.subscribe(() => {}), { code: "NotFound" });
});
