// The job: every file goes on a queue; workers take them, measure them, and put the results on another queue.
//
// A result and the ack of its file are one transaction, so that no file counts twice. What is no text is rejected with the reason; what cannot be
// read is nacked, tried again, and dead-lettered in the end; a flaky step fails 1 % of the time, seeded, to show how retry works.

import { open } from "ferrymq";
import { measure, Undecodable } from "./measure.mjs";
import { random } from "./samples.mjs";

export const WORKERS = 4;
const MAX_ATTEMPTS = 4;
const FLAKY_RATE = 0.01;
const BATCH = 100;

/** Whether the flaky step fails: decided by seed, file and attempt, so that every run is the same however the workers take turns. */
export function flaky(seed, index, attempt) {
  return random(seed ^ Math.imul(index + 1, 0x9e3779b1) ^ Math.imul(attempt, 0x85ebca6b))() < FLAKY_RATE;
}

/**
 * Runs the job over `files` (`{ path, read }`). Calls `progress` with what came in: a result, or a dead letter. Resolves with the totals, or with
 * what there is when `signal` is aborted.
 */
export async function run(files, { seed = 1, signal, progress = () => {} } = {}) {
  const broker = await open();
  const options = { maxAttempts: MAX_ATTEMPTS, backoff: { initial: 20, max: 200 }, deadLetter: "files.dead" };
  const todo = await broker.queue("files", options);
  const dead = await broker.queue("files.dead");
  const results = await broker.queue("results");
  const totals = {
    files: files.length,
    measured: 0,
    bytes: 0,
    lines: 0,
    retried: 0,
    dead: {},
    encodings: {},
    seconds: 0,
  };
  const started = performance.now();
  const finished = new AbortController();
  const ended = signal === undefined ? finished.signal : AbortSignal.any([finished.signal, signal]);
  try {
    for (let at = 0; at < files.length; at += BATCH) {
      await todo.produceMany(files.slice(at, at + BATCH).map(({ path }, offset) => ({ index: at + offset, path })));
    }
    const work = { broker, todo, results, files, seed, signal: ended };
    const collect = { totals, progress, finished };
    if (files.length === 0) finished.abort();
    await Promise.all([
      ...Array.from({ length: WORKERS }, () => untilAborted(ended, () => worker(work))),
      untilAborted(ended, () => collectResults(results, ended, collect)),
      untilAborted(ended, () => collectDead(dead, ended, collect)),
    ]);
    totals.seconds = (performance.now() - started) / 1000;
    const stats = await broker.queues();
    totals.retried = (await todo.stats()).nacked - (totals.dead.max_attempts?.length ?? 0);
    totals.messages = stats.reduce((sum, queue) => sum + queue.produced, 0);
    totals.messagesPerSecond = totals.messages / totals.seconds;
    return totals;
  } finally {
    await broker.close();
  }
}

/** Waiting ends when the signal is aborted: that is the normal end of a loop that waits for more. */
async function untilAborted(signal, loop) {
  try {
    await loop();
  } catch (error) {
    if (!signal.aborted || error !== signal.reason) throw error;
  }
}

async function worker({ broker, todo, results, files, seed, signal }) {
  for (;;) {
    const delivery = await todo.consume({ timeout: null, signal });
    const { index, path } = delivery.json();
    try {
      if (flaky(seed, index, delivery.attempt)) throw new Error("the flaky step failed");
      const measured = await measure(await files[index].read());
      await broker.transaction((tx) => {
        tx.produce(results, { path, ...measured, attempt: delivery.attempt });
        tx.ack(delivery);
      });
    } catch (error) {
      if (error instanceof Undecodable) await delivery.reject({ reason: error.message });
      else await delivery.nack({ reason: error.message });
    }
  }
}

async function collectResults(results, signal, { totals, progress, finished }) {
  for (;;) {
    const batch = await results.consumeMany(BATCH, { timeout: null, signal, autoAck: true });
    for (const delivery of batch) {
      const result = delivery.json();
      totals.measured += 1;
      totals.bytes += result.bytes;
      totals.lines += result.lines;
      totals.encodings[result.encoding] = (totals.encodings[result.encoding] ?? 0) + 1;
      progress({ result, totals });
    }
    finishIfDone(totals, finished);
  }
}

async function collectDead(dead, signal, { totals, progress, finished }) {
  for (;;) {
    const delivery = await dead.consume({ timeout: null, signal, autoAck: true });
    const { headers } = delivery;
    const reason = headers["x-dead-reason"];
    const letter = {
      path: delivery.json().path,
      reason,
      detail: headers["x-dead-detail"],
      attempts: headers["x-dead-attempts"],
    };
    totals.dead[reason] ??= [];
    totals.dead[reason].push(letter);
    progress({ letter, totals });
    finishIfDone(totals, finished);
  }
}

/** How many files have come to their end. */
export function done(totals) {
  return totals.measured + Object.values(totals.dead).reduce((sum, letters) => sum + letters.length, 0);
}

function finishIfDone(totals, finished) {
  if (done(totals) === totals.files) finished.abort();
}
