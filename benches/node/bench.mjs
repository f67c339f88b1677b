// FerryMQ in Node beside its peers, in one run. Prints JSON: nanoseconds per message, the median of the rounds.
//
//   node benches/node/bench.mjs [--quick]
//
// Peers do less (nothing is leased, settled or counted); they say what a bare queue costs in the same process.

import { createRequire } from "node:module";
import { cpus } from "node:os";
import { pathToFileURL } from "node:url";
import { open } from "../../wasm/dist/node.js";

const require = createRequire(new URL("../../wasm/package.json", import.meta.url));
const quick = process.argv.includes("--quick");
const ROUNDS = quick ? 3 : 9;
const MESSAGES = quick ? 10_000 : 100_000;
const BATCH = 1000;
const BODY = new Uint8Array(100).fill(97);

const Denque = require("denque");
const fastq = require("fastq");
const { default: PQueue } = await import(pathToFileURL(require.resolve("p-queue")));

/** What keeps results from being optimised away. */
let seen = 0;

async function ferrymqOneAtATime() {
  const broker = await open();
  const queue = await broker.queue("q");
  const started = process.hrtime.bigint();
  for (let i = 0; i < MESSAGES; i++) {
    await queue.produce(BODY);
    const delivery = await queue.consume();
    seen += delivery.bytes()[0];
    await delivery.ack();
  }
  return finish(started, broker);
}

async function ferrymqBatches() {
  const broker = await open();
  const queue = await broker.queue("q");
  const bodies = Array.from({ length: BATCH }, () => BODY);
  const started = process.hrtime.bigint();
  for (let i = 0; i < MESSAGES; i += BATCH) {
    await queue.produceMany(bodies);
    const deliveries = await queue.consumeMany(BATCH);
    for (const delivery of deliveries) seen += delivery.bytes()[0];
    await queue.ackMany(deliveries);
  }
  return finish(started, broker);
}

async function ferrymqSubscribe() {
  const broker = await open();
  const queue = await broker.queue("q");
  const bodies = Array.from({ length: BATCH }, () => BODY);
  let left = MESSAGES;
  let done;
  const finished = new Promise((resolve) => (done = resolve));
  const started = process.hrtime.bigint();
  queue.subscribe(async (delivery) => {
    seen += delivery.bytes()[0];
    left -= 1;
    if (left === 0) done();
    else if (left % BATCH === 0) await queue.produceMany(bodies);
  });
  await queue.produceMany(bodies);
  await finished;
  return finish(started, broker);
}

async function ferrymqRequests() {
  const broker = await open();
  const queue = await broker.queue("q");
  queue.subscribe((request) => request.reply(request.bytes()));
  const started = process.hrtime.bigint();
  for (let i = 0; i < MESSAGES; i++) seen += (await queue.request(BODY)).bytes()[0];
  return finish(started, broker);
}

async function finish(started, broker) {
  const taken = Number(process.hrtime.bigint() - started);
  await broker.close();
  return taken / MESSAGES;
}

async function denque() {
  const queue = new Denque();
  const started = process.hrtime.bigint();
  for (let i = 0; i < MESSAGES; i++) {
    queue.push(BODY);
    seen += queue.shift()[0];
  }
  return Number(process.hrtime.bigint() - started) / MESSAGES;
}

async function fastqPromises() {
  const queue = fastq.promise(async (body) => {
    seen += body[0];
  }, 1);
  const started = process.hrtime.bigint();
  for (let i = 0; i < MESSAGES; i++) await queue.push(BODY);
  return Number(process.hrtime.bigint() - started) / MESSAGES;
}

async function pQueue() {
  const queue = new PQueue({ concurrency: 1 });
  const started = process.hrtime.bigint();
  for (let i = 0; i < MESSAGES; i++) {
    await queue.add(async () => {
      seen += BODY[0];
    });
  }
  return Number(process.hrtime.bigint() - started) / MESSAGES;
}

const CASES = [
  ["ferrymq, one at a time", "produce, consume, read, ack, each awaited", ferrymqOneAtATime],
  ["ferrymq, batches of 1,000", "produceMany, consumeMany, read each, ackMany", ferrymqBatches],
  ["ferrymq, subscribe", "produceMany, a handler for each, ack by its end", ferrymqSubscribe],
  ["ferrymq, request and reply", "request, a handler that replies, both acked", ferrymqRequests],
  ["denque", "push, shift; nothing awaited", denque],
  ["fastq.promise", "push, run, each awaited", fastqPromises],
  ["p-queue", "add, run, each awaited", pQueue],
];

const samples = CASES.map(() => []);
// Rounds outside, cases inside: what disturbs the machine for a while disturbs all of them.
for (let round = 0; round <= ROUNDS; round++) {
  for (const [at, [, , run]] of CASES.entries()) {
    const sample = await run();
    if (round > 0) samples[at].push(sample);
  }
}

const report = {
  benchmark: "node",
  node: process.version,
  cpu: cpus()[0]?.model ?? "unknown",
  messages: MESSAGES,
  rounds: ROUNDS,
  body_bytes: BODY.length,
  unit: "ns/message",
  results: CASES.map(([name, what], at) => {
    const sorted = samples[at].sort((a, b) => a - b);
    const round = (value) => Math.round(value * 10) / 10;
    return {
      name,
      what,
      median: round(sorted[sorted.length >> 1]),
      min: round(sorted[0]),
      max: round(sorted.at(-1)),
    };
  }),
};
if (seen === 0) throw new Error("no body was read");
console.log(JSON.stringify(report, null, 2));
