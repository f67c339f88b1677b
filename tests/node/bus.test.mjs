// Proves requests with their replies, the event bus, alarms, metrics and log lines, as JavaScript has them. Time is moved by hand where it matters.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FerryError, open } from "../../wasm/dist/node.js";
import { openTesting } from "../../wasm/dist/testing.node.js";

/** Everything has happened that can without time passing. */
const turn = () => new Promise(setImmediate);

async function fresh(t, opening) {
  const { broker, testing } = await openTesting(opening);
  t.after(() => broker.close());
  return { broker, testing, queue: await broker.queue("q") };
}

test("a request resolves with its reply, many at once with their own", async (t) => {
  const { broker, queue } = await fresh(t);
  const sub = queue.subscribe(
    async (request) => {
      await request.reply({ double: request.json() * 2 }, { headers: { by: "server" } });
    },
    { concurrency: 3 },
  );
  const replies = await Promise.all([1, 2, 3, 4].map((n) => queue.request(n)));
  assert.deepEqual(
    replies.map((reply) => reply.json().double),
    [2, 4, 6, 8],
  );
  assert.equal(replies[0].headers.by, "server");
  assert.equal(replies[0].queue.startsWith("ferrymq.reply."), true);
  await sub.stop();
  const queues = (await broker.queues()).filter(({ name }) => name.startsWith("ferrymq.reply."));
  assert.deepEqual(
    queues.map(({ size }) => size),
    [0],
  );
});

test("a request that gets no reply in time is Unavailable, and expires with it", async (t) => {
  const { queue, testing } = await fresh(t);
  const request = assert.rejects(queue.request("x", { timeout: 500 }), { code: "Unavailable", retryable: true });
  await turn();
  testing.advanceTo(499);
  const peeked = await queue.peek();
  assert.equal(peeked.length, 1);
  assert.equal(peeked[0].correlationId, "1");
  testing.advanceTo(500);
  await request;
  assert.equal(await queue.consume(), undefined);
  // Thirty seconds unless it says.
  const byDefault = assert.rejects(queue.request("y"), { code: "Unavailable" });
  await turn();
  testing.advanceTo(30_500);
  await byDefault;
  const short = assert.rejects(queue.request("z", { timeout: 1000, ttl: 10 }), { code: "Unavailable" });
  await turn();
  testing.advanceTo(30_510);
  assert.equal(await queue.consume(), undefined);
  testing.advanceTo(31_500);
  await short;
});

test("a reply that comes late, or from a stranger, is dropped and told", async (t) => {
  const lines = [];
  const log = { debug() {}, warn: (line) => lines.push(line), error() {} };
  const { broker, queue, testing } = await fresh(t, { log });
  const request = assert.rejects(queue.request("x", { timeout: 500, ttl: 400 }), { code: "Unavailable" });
  await turn();
  const held = await queue.consume();
  testing.advanceTo(500);
  await request;
  await held.reply("late");
  const replies = await broker.queue(held.replyTo, { create: false });
  await replies.produce("foreign", { correlationId: "99" });
  await replies.produce("nameless");
  await turn();
  assert.equal(await replies.size(), 0);
  testing.advanceTo(2000);
  assert.deepEqual(
    lines.filter((line) => line.includes("replies")),
    [`ferrymq: queue "${held.replyTo}": 3 replies were dropped, nobody waits for them (any more)`],
  );
  const second = queue.request("y");
  await turn();
  await (await queue.consume()).reply("in time");
  assert.equal((await second).text(), "in time");
});

test("requests end with an abort, a refusal, the end of their reply queue, and the broker", async (t) => {
  const { broker, queue } = await fresh(t);
  const controller = new AbortController();
  const aborted = assert.rejects(queue.request("x", { signal: controller.signal }), /changed my mind/);
  await turn();
  controller.abort(new Error("changed my mind"));
  await aborted;
  await assert.rejects(queue.request("x", { signal: controller.signal }), /changed my mind/);
  const full = await broker.queue("full", { capacity: 1 });
  await full.produce("x");
  await assert.rejects(full.request("y"), { code: "QueueFull" });
  const orphaned = assert.rejects(queue.request("z"), { code: "NotFound" });
  await turn();
  const [request] = await queue.peek(5);
  await (await broker.queue(request.replyTo, { create: false })).delete();
  await orphaned;
  await queue.purge();
  const anew = queue.request("again");
  await turn();
  await (await queue.consume()).reply("here");
  assert.equal((await anew).text(), "here");
  const closed = assert.rejects(queue.request("last"), { code: "Closed" });
  await turn();
  await broker.close();
  await closed;
  await assert.rejects(queue.request("later"), { code: "Closed" });
});

test("a request whose queue blocks waits for room no longer than for its reply", async (t) => {
  const { broker, testing } = await fresh(t);
  const queue = await broker.queue("narrow", { capacity: 1, overflow: "block" });
  await queue.produce("x");
  const request = assert.rejects(queue.request("y", { timeout: 100 }), FerryError);
  await turn();
  testing.advanceTo(100);
  await request;
  await (await queue.consume()).ack();
  assert.equal(await queue.size(), 0);
});

test("reply needs a replyTo that leads somewhere", async (t) => {
  const { queue } = await fresh(t);
  await queue.produce("plain");
  await queue.produce("gone", { replyTo: "nowhere" });
  const [plain, gone] = await queue.consumeMany(2);
  await assert.rejects(plain.reply("x"), { code: "InvalidArgument" });
  await assert.rejects(gone.reply("x"), { code: "NotFound" });
  await assert.rejects(gone.reply("x", { correlationId: "1" }), { code: "InvalidArgument" });
  for (const options of [{ timeout: -1 }, { delay: 5 }, { correlationId: "x" }, { replyTo: "x" }, { signal: 5 }, 7]) {
    await assert.rejects(queue.request("x", options), { code: "InvalidArgument" }, JSON.stringify(options));
  }
});

test("in Node a request keeps the process alive, waiting for replies by itself does not", async () => {
  const { execFileSync } = await import("node:child_process");
  const program = `
    import { open } from ${JSON.stringify(new URL("../../wasm/dist/node.js", import.meta.url).href)};
    const broker = await open();
    const queue = await broker.queue("q");
    await queue.produce("later", { delay: 3_000_000 });
    await queue.request("x", { timeout: 50 }).catch((error) => console.log(error.code));
    broker.alarm({ above: 5 }, () => {});
  `;
  const printed = execFileSync(process.execPath, ["--input-type=module", "-e", program], { timeout: 20_000 });
  assert.equal(String(printed), "Unavailable\n");
});

test("every subscription has each event for itself, by topic", async (t) => {
  const { broker } = await fresh(t);
  const bus = await broker.bus();
  assert.equal(await broker.bus(), bus);
  const seen = { one: [], two: [], all: [] };
  const subs = [
    await bus.subscribe("order.*", (event) => seen.one.push(event.key)),
    await bus.subscribe("order.*", (event) => seen.two.push(event.key)),
    await bus.subscribe("#", (event) => seen.all.push([event.key, event.json()])),
  ];
  assert.equal(await bus.publish("order.paid", { id: 1 }), 3);
  assert.equal(await bus.publish("order.item.sold", { id: 2 }, { headers: { a: 1 } }), 1);
  assert.equal(await bus.publish("stock", 3), 1);
  await turn();
  assert.deepEqual(seen.one, ["order.paid"]);
  assert.deepEqual(seen.two, ["order.paid"]);
  assert.deepEqual(seen.all, [
    ["order.paid", { id: 1 }],
    ["order.item.sold", { id: 2 }],
    ["stock", 3],
  ]);
  for (const sub of subs) assert.equal(await sub.stop(), true);
  assert.equal(await bus.publish("order.paid", 1), 0);
  assert.deepEqual(
    await broker.queues(),
    (await broker.queues()).filter(({ name }) => name === "q"),
  );
});

test("what one handler throws touches no other, and its event comes back to it alone", async (t) => {
  const { broker, testing } = await fresh(t);
  const bus = await broker.bus();
  const good = [];
  const bad = [];
  await bus.subscribe("a", (event) => good.push(event.attempt));
  await bus.subscribe("a", (event) => {
    bad.push(event.attempt);
    if (event.attempt === 1) throw new Error("at first");
  });
  await bus.publish("a", "x");
  await turn();
  testing.advanceTo(2000);
  await turn();
  assert.deepEqual(good, [1]);
  assert.deepEqual(bad, [1, 2]);
});

test("a durable subscription gets what was published while nobody was there; those of its name share", async (t) => {
  const { broker } = await fresh(t);
  const bus = await broker.bus();
  const first = await bus.subscribe("a.#", () => {}, { name: "mailer" });
  await first.stop();
  await bus.publish("a.b", "kept");
  const seen = [];
  const subs = await Promise.all(
    ["x", "y"].map((who) => bus.subscribe("a.#", (event) => seen.push([who, event.text()]), { name: "mailer" })),
  );
  await bus.publish("a", "second");
  await turn();
  assert.deepEqual(seen.map(([, text]) => text).sort(), ["kept", "second"]);
  for (const sub of subs) await sub.stop();
  const names = (await broker.queues()).map(({ name }) => name);
  assert.deepEqual(names, ["ferrymq.bus.mailer", "q"]);
});

test("the bus is an EventTarget: patterns are its types, with once, signal, objects and removal", async (t) => {
  const { broker } = await fresh(t);
  const bus = await broker.bus();
  assert.ok(bus instanceof EventTarget);
  const seen = [];
  const hear = (event) => seen.push([event.type, event.topic, event.message.text()]);
  bus.addEventListener("order.*", hear);
  bus.addEventListener("order.*", hear);
  bus.addEventListener("order.paid", { handleEvent: hear }, { once: true });
  const controller = new AbortController();
  bus.addEventListener("#", hear, { signal: controller.signal });
  bus.addEventListener("#", null);
  // Nobody waited for anything: what is published afterwards is heard all the same.
  await bus.publish("order.paid", "1");
  await turn();
  assert.deepEqual(seen.sort(), [
    ["#", "order.paid", "1"],
    ["order.*", "order.paid", "1"],
    ["order.paid", "order.paid", "1"],
  ]);
  controller.abort();
  await turn();
  seen.length = 0;
  assert.equal(await bus.publish("order.paid", "2"), 1);
  await turn();
  assert.deepEqual(seen, [["order.*", "order.paid", "2"]]);
  bus.removeEventListener("order.*", hear);
  await turn();
  assert.equal(await bus.publish("order.paid", "3"), 0);
  assert.deepEqual(
    (await broker.queues()).map(({ name }) => name),
    ["q"],
  );
  bus.addEventListener("order.*", hear);
  await bus.publish("order.new", "4");
  await turn();
  assert.deepEqual(seen.at(-1), ["order.*", "order.new", "4"]);
});

test("a listener that wanted one event may listen for the next while it is called", async (t) => {
  const { broker } = await fresh(t);
  const bus = await broker.bus();
  const seen = [];
  const hear = (event) => {
    seen.push(event.message.text());
    if (seen.length < 3) bus.addEventListener("a", hear, { once: true });
  };
  bus.addEventListener("a", hear, { once: true });
  for (const body of ["1", "2", "3", "4"]) {
    await bus.publish("a", body);
    await turn();
  }
  assert.deepEqual(seen, ["1", "2", "3"]);
  assert.deepEqual(
    (await broker.queues()).map(({ name }) => name),
    ["q"],
  );
});

test("the bus refuses wrong arguments, and ends with its broker", async (t) => {
  const { broker } = await fresh(t);
  const bus = await broker.bus();
  const wrong = [
    bus.publish(5, "x"),
    bus.publish("a", () => {}),
    bus.publish("a", "x", { key: "b" }),
    bus.publish("x".repeat(256), "x"),
    bus.subscribe(5, () => {}),
    bus.subscribe("a"),
    bus.subscribe("a", () => {}, { name: 5 }),
    bus.subscribe("a", () => {}, { name: "x".repeat(300) }),
    bus.subscribe("a", () => {}, { prefetch: 5 }),
    bus.subscribe("a", () => {}, { concurrency: 0 }),
    bus.subscribe("a".repeat(256), () => {}),
  ];
  for (const call of wrong) await assert.rejects(call, { code: "InvalidArgument" });
  assert.throws(() => bus.addEventListener(5, () => {}), { code: "InvalidArgument" });
  assert.deepEqual(
    (await broker.queues()).map(({ name }) => name),
    ["q"],
  );
  const sub = await bus.subscribe("a", () => {});
  await broker.close();
  assert.equal(await sub.ended, undefined);
  await assert.rejects(bus.publish("a", "x"), { code: "Closed" });
  await assert.rejects(
    bus.subscribe("a", () => {}),
    { code: "Closed" },
  );
});

test("an alarm calls once when its condition becomes true, and again only after it was false", async (t) => {
  const errors = [];
  const log = { debug() {}, warn() {}, error: (line, error) => errors.push([line, error.message]) };
  const { broker, queue, testing } = await fresh(t, { log });
  const alerts = [];
  const alarm = broker.alarm({ queue: "q", above: 1 }, (alert) => alerts.push(alert));
  broker.alarm({ above: 1 }, () => {
    throw new Error("its own fault");
  });
  const move = async (at) => {
    testing.advanceTo(at);
    await turn();
  };
  await queue.produce("1");
  await move(1);
  assert.deepEqual(alerts, []);
  await queue.produce("2");
  await move(2);
  await move(3);
  assert.deepEqual(alerts, [{ queue: "q", condition: "above", value: 2, limit: 1 }]);
  assert.deepEqual(errors, [['ferrymq: the callback of an alarm on queue "q" (above) failed', "its own fault"]]);
  await queue.purge();
  await move(4);
  await queue.produceMany(["1", "2", "3"]);
  await move(5);
  assert.equal(alerts.length, 2);
  alarm.cancel();
  alarm.cancel();
  await queue.purge();
  await move(6);
  await queue.produceMany(["1", "2", "3"]);
  await move(7);
  assert.equal(alerts.length, 2);
});

test("alarms see age and dead letters, of one queue or of every", async (t) => {
  const { broker, queue, testing } = await fresh(t);
  const alerts = [];
  const controller = new AbortController();
  const conditions = { queue: "q", olderThan: 1000, deadLetters: true };
  broker.alarm({ ...conditions, signal: controller.signal }, (alert) => alerts.push(alert));
  const everywhere = [];
  broker.alarm({ above: 0 }, (alert) => everywhere.push(alert.queue));
  await queue.produce("x");
  testing.advanceTo(1000);
  testing.advanceTo(1001);
  assert.deepEqual(alerts, [{ queue: "q", condition: "olderThan", value: 1001, limit: 1000 }]);
  await (await queue.consume()).reject();
  testing.advanceTo(1002);
  assert.deepEqual(alerts.at(-1), { queue: "q", condition: "deadLetters", value: 1, limit: 0 });
  assert.deepEqual(everywhere, ["q", "q.dead"]);
  controller.abort();
  const count = alerts.length;
  await queue.produce("x");
  testing.advanceTo(9000);
  assert.equal(alerts.length, count);
  for (const options of [
    {},
    undefined,
    { above: -1 },
    { above: "5" },
    { olderThan: -1 },
    { deadLetters: 1 },
    { x: 1 },
  ]) {
    assert.throws(() => broker.alarm(options, () => {}), { code: "InvalidArgument" }, JSON.stringify(options));
  }
  assert.throws(() => broker.alarm({ above: 1 }), { code: "InvalidArgument" });
  await broker.close();
  assert.throws(() => broker.alarm({ above: 1 }, () => {}), { code: "Closed" });
});

test("an alarm in time that runs", async (t) => {
  const broker = await open();
  t.after(() => broker.close());
  const queue = await broker.queue("q");
  const heard = new Promise((resolve) => broker.alarm({ above: 0 }, resolve));
  await queue.produce("x");
  // Alarms keep no process alive; this one waits for it.
  const hold = setInterval(() => {}, 1000);
  assert.equal((await heard).queue, "q");
  clearInterval(hold);
});

test("metrics are the statistics as text for Prometheus", async (t) => {
  const { broker, queue } = await fresh(t);
  await broker.queue('quoted "name"');
  await queue.produceMany(["a", "b"]);
  await (await queue.consume()).ack();
  const lines = (await broker.metrics()).split("\n");
  for (const line of [
    "# TYPE ferrymq_queue_ready gauge",
    'ferrymq_queue_ready{queue="q"} 1',
    'ferrymq_queue_acked_total{queue="q"} 1',
    'ferrymq_queue_ready{queue="quoted \\"name\\""} 0',
    "ferrymq_queues 2",
  ]) {
    assert.ok(lines.includes(line), line);
  }
  await broker.close();
  await assert.rejects(broker.metrics(), { code: "Closed" });
});

test("a log gets a line for what went wrong, at most one a second of the same, never a body", async (t) => {
  const lines = [];
  const keep = (level) => (line) => lines.push(`${level} ${line}`);
  const log = { debug: keep("debug"), warn: keep("warn"), error: keep("error") };
  const { broker, testing } = await fresh(t, { log });
  const queue = await broker.queue("in\u2028voices", { capacity: 1, lease: 100 });
  await queue.produce("secret");
  for (let i = 0; i < 5; i++) await assert.rejects(queue.produce("secret"), { code: "QueueFull" });
  testing.advanceTo(1);
  assert.deepEqual(lines.splice(0), ['warn ferrymq: queue "in\u2028voices" was full: 5 produce calls were refused']);
  await queue.consume();
  testing.advanceTo(200);
  await (await queue.consume()).reject({ reason: "secret too" });
  testing.advanceTo(999);
  assert.deepEqual(lines, []);
  testing.advanceTo(1001);
  assert.deepEqual(lines.splice(0), [
    'warn ferrymq: queue "in\u2028voices": 1 leases ended before their deliveries were settled',
    'warn ferrymq: queue "in\u2028voices": 1 messages were dead-lettered (rejected)',
  ]);
  await broker.close();
  assert.deepEqual(lines, ["debug ferrymq: broker closed"]);
});

test("a log that throws breaks nothing, and what is no log is refused", async (t) => {
  const broken = () => {
    throw new Error("broken log");
  };
  const { broker, testing } = await fresh(t, { log: { debug: broken, warn: broken, error: broken } });
  const queue = await broker.queue("full", { capacity: 1 });
  await queue.produce("x");
  await assert.rejects(queue.produce("y"), { code: "QueueFull" });
  testing.advanceTo(5000);
  assert.equal(await queue.size(), 1);
  for (const log of [5, "console", {}, { warn() {} }, () => {}]) {
    await assert.rejects(open({ log }), { code: "InvalidArgument" });
  }
  const quiet = await open({ log: console });
  await quiet.close();
});
