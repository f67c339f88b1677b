// Proves that no argument, however wrong, crosses the boundary: each is refused with InvalidArgument and a sentence, and what was there stays.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { FerryError, open, outgoing } from "../../wasm/dist/node.js";

const LONE = "\ud800";
const cyclic = {};
cyclic.self = cyclic;
const wide = {};
for (const name of ["a", "b", "c"]) wide[name] = wide;
const cyclicList = [];
cyclicList.push(cyclicList);

let broker;
let queue;
let exchange;
let delivery;

before(async () => {
  broker = await open();
  queue = await broker.queue("q");
  exchange = await broker.exchange("e", { kind: "fanout" });
  await exchange.bind(await broker.queue("sink", { capacity: 10_000 }));
  await queue.produceMany(["leased", "kept"]);
  delivery = await queue.consume();
});

after(() => broker.close());

const CALLS = {
  "a queue's name": [
    ...["", 5, null, undefined, LONE, "a\nb", "x".repeat(256), {}].map((name) => () => broker.queue(name)),
  ],
  "a queue's options": [
    { capacity: 0 },
    { capacity: -1 },
    { capacity: 1.5 },
    { capacity: Number.NaN },
    { capacity: "5" },
    { capacity: 2n ** 64n },
    { capacityBytes: -5n },
    { overflow: "explode" },
    { overflow: "dropOldest" },
    { lease: 0 },
    { lease: -1 },
    { lease: Number.POSITIVE_INFINITY },
    { lease: 13 * 3600 * 1000 },
    { maxAttempts: 0 },
    { maxAttempts: 2 ** 32 },
    { backoff: -1 },
    { backoff: "fast" },
    { backoff: { factor: 0.5 } },
    { backoff: { jitter: 2 } },
    { backoff: { jitter: Number.NaN } },
    { backoff: { initial: 5, max: 1 } },
    { backoff: { colour: 1 } },
    { deadLetter: true },
    { deadLetter: 5 },
    { deadLetter: ["e"] },
    { deadLetter: LONE },
    { deadLetter: "q2" },
    { ttl: -1 },
    { ttl: Number.NaN },
    { priorities: 0 },
    { priorities: 256 },
    { priorities: 2 ** 31 },
    { orderedKeys: 1 },
    { orderedKeys: true, priorities: 2 },
    { durability: "eternal" },
    { dedupWindow: 0 },
    { dedupWindow: -1 },
    { dedupWindow: "5" },
    { expires: 0 },
    { expires: Number.NaN },
    { exclusive: 1 },
    { exclusive: null },
    { autoDelete: "yes" },
    { max_attempts: 5 },
    { create: "yes" },
    [],
    5,
  ].map((options) => () => broker.queue("q2", options)),
  "an exchange": [
    () => broker.exchange("x", { kind: "random" }),
    () => broker.exchange("x", { kind: 5 }),
    () => broker.exchange("x", { colour: 1 }),
    () => broker.exchange("a\nb"),
    () => broker.exchange(LONE),
    () => exchange.bind("q"),
    () => exchange.bind(null),
    () => exchange.bind(queue, 5),
    () => exchange.bind(queue, LONE),
    () => exchange.bind(queue, "", { colour: 1 }),
    () => exchange.bind(queue, "", { match: "some" }),
    () => exchange.bind(queue, "", { headers: 5 }),
    () => exchange.bind(queue, "", { headers: { a: Symbol("a") } }),
    () => broker.exchange("x", { alternate: 5 }),
    () => broker.exchange("x", { alternate: LONE }),
    () => exchange.publish("a", { key: 5 }),
    () => exchange.publish("a", { key: "k".repeat(256) }),
    () => exchange.publish("a", { mandatory: 1 }),
    () => exchange.publish("a", { timeout: 1 }),
    () => exchange.publish(undefined),
  ],
  "a body": [
    undefined,
    () => {},
    Symbol("s"),
    5n,
    { deep: 5n },
    cyclic,
    LONE,
    new Float32Array(2),
    new DataView(new ArrayBuffer(2)),
    new Blob(["a"]),
    {
      toJSON() {
        throw new Error("no");
      },
    },
  ].flatMap((body) => [() => queue.produce(body), () => queue.produceMany(["a", body])]),
  "a message's options": [
    { key: 5 },
    { key: LONE },
    { key: "k".repeat(256) },
    { priority: 1 },
    { priority: -1 },
    { priority: 1.5 },
    { priority: 300 },
    { priority: "1" },
    { delay: -1 },
    { delay: Number.NaN },
    { delay: "5" },
    { delay: 1e300 },
    { delay: new Date() },
    { ttl: Number.POSITIVE_INFINITY },
    { durability: "eternal" },
    { contentType: 5 },
    { correlationId: "c".repeat(256) },
    { replyTo: {} },
    { headers: 5 },
    { headers: [1] },
    { headers: { a: () => {} } },
    { headers: { a: 2n ** 63n } },
    { headers: { a: new Date(Number.NaN) } },
    { headers: { a: new Float32Array(1) } },
    { headers: { a: LONE } },
    { headers: { [LONE]: 1 } },
    { headers: new Map([[5, 1]]) },
    { headers: cyclic },
    { headers: wide },
    { headers: { a: cyclicList } },
    { headers: { a: "x".repeat(70_000) } },
    { dedupId: "" },
    { dedupId: 5 },
    { dedupId: "i".repeat(256) },
    { dedupId: LONE },
    { timeuot: 5 },
  ].flatMap((options) => [
    () => queue.produce("a", options),
    () => queue.produceMany([outgoing("a", options)]),
    // Routed messages take the highest priority that each queue has.
    ...(options.priority === 1 ? [] : [() => exchange.publish("a", options)]),
    () => broker.transaction((tx) => tx.produce(queue, "a", options)),
  ]),
  "a wait": [
    () => queue.produce("a", { timeout: -1 }),
    () => queue.produce("a", { signal: {} }),
    () => queue.produceMany(["a"], { timeout: "5" }),
    () => queue.produceMany(["a"], { delay: 5 }),
    () => queue.consume({ timeout: Number.NaN }),
    () => queue.consume({ timeout: "1" }),
    () => queue.consume({ signal: 5 }),
    () => queue.consume({ autoAck: 1 }),
    () => queue.consume({ prefetch: 1 }),
    () => queue.consume(5),
    () => queue.consumeMany(5, []),
  ],
  "a count": [0, -1, 1.5, Number.NaN, "5", undefined, null, 2 ** 32].map((max) => () => queue.consumeMany(max)),
  "another count": [
    () => queue.peek(-1),
    () => queue.peek("a"),
    () => queue.redrive(-1),
    () => queue.redrive(Number.NaN),
  ],
  "a batch": [
    () => queue.produceMany(5),
    () => queue.produceMany(null),
    () => queue.produceMany("abc"),
    () => queue.produceMany(new Uint8Array(3)),
    () => queue.ackMany(null),
    () => queue.ackMany([5]),
    () => queue.ackMany([{}]),
    () => queue.ackMany([new Uint8Array(3)]),
  ],
  "a settlement": [
    () => queue.ack(),
    () => queue.ack("token"),
    () => queue.ack(new Uint8Array(23)),
    () => queue.ack(delivery.token, { durable: 1 }),
    () => delivery.ack({ later: true }),
    () => delivery.nack({ delay: -1 }),
    () => delivery.nack({ delay: Number.NaN }),
    () => delivery.nack({ reason: 5 }),
    () => delivery.nack(5),
    () => delivery.reject({ delay: 5 }),
    () => delivery.extend(),
    () => delivery.extend(-5),
    () => delivery.extend(Number.NaN),
    () => delivery.extend("1"),
  ],
  "a transaction": [
    () => broker.transaction(),
    () => broker.transaction(5),
    () => broker.transaction((tx) => tx.produce("q", "a")),
    () => broker.transaction((tx) => tx.ack(5)),
  ],
  "what open takes": [
    () => open({ name: 5 }),
    () => open({ durability: "eternal" }),
    () => open({ memoryLimit: -1 }),
    () => open({ memoryLimit: "1 GB" }),
    () => open({ lease: Number.NaN }),
    () => open({ colour: "red" }),
    () => open(5),
  ],
};

for (const [what, calls] of Object.entries(CALLS)) {
  test(`${what} that is wrong is refused`, async () => {
    for (const call of calls) {
      const error = await call().then(
        () => assert.fail(`was not refused: ${call}`),
        (error) => error,
      );
      assert.ok(error instanceof FerryError, `${call} gave ${error?.stack ?? error}`);
      assert.equal(error.code, "InvalidArgument", `${call}: ${error.message}`);
      assert.ok(error.message.length > 20, error.message);
      const own = error.message.replace(/"[^"]*"/g, "");
      assert.doesNotMatch(own, /capacity_bytes|max_attempts|dead_letter|ordered_keys|None|Some\(/, error.message);
    }
    assert.equal(await queue.size(), 2, "what was accepted before is there, and nothing else");
    assert.equal((await exchange.publish("lost")) >= 0, true, "the engine lives");
  });
}

test("what arguments throw themselves comes out as it is", async () => {
  const mine = new Error("mine");
  const options = {
    get key() {
      throw mine;
    },
  };
  await assert.rejects(queue.produce("a", options), mine);
  function* items() {
    yield "a";
    throw mine;
  }
  await assert.rejects(queue.produceMany(items()), mine);
  assert.equal(await queue.size(), 2);
});

test("a reason that is too long or malformed never refuses a settlement", async () => {
  const poison = await broker.queue("poison", { maxAttempts: 1 });
  await poison.produce("a");
  await (await poison.consume()).nack({ reason: `${"é".repeat(5000)}${LONE}` });
  const dead = await (await broker.queue("poison.dead", { create: false })).consume();
  assert.ok(dead.headers["x-dead-detail"].startsWith("é"));
});

test("a getter that closes the broker under its call gives Closed", async () => {
  const other = await open();
  const its = await other.queue("q");
  await assert.rejects(its.produce({ toJSON: () => other.close() }), { code: "Closed" });
});

test("a refusal names what it is about, in JavaScript's words", async () => {
  const told = async (call) => (await call.then(assert.fail, (error) => error)).message;
  const small = await broker.queue('small "one"', { capacity: 1, deadLetter: "elsewhere" });
  await small.produce("a");
  assert.match(await told(small.produce("b")), /queue "small \\"one\\"" is full \(capacity 1, capacityBytes none\)/);
  assert.match(
    await told(broker.queue('small "one"', { deadLetter: "grave" })),
    /exists with deadLetter = "elsewhere", this declares "grave"/,
  );
  assert.match(await told(broker.queue("absent", { create: false })), /no queue "absent"/);
  assert.match(await told(broker.exchange("e", { kind: "direct" })), /kind = "fanout", this declares "direct"/);
  assert.match(await told(broker.queue("a\u0007b")), /"a\\u\{7\}b" holds control characters/);
  assert.match(await told(queue.produce("a", { durability: "eternal" })), /"memory", "written" or "durable"/);
});
