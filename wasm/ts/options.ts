// A queue's options: checked, and made one form of each, as the engine's `value.rs` takes them.

import type { QueueOptions } from "./api.js";
import { durability, duration, flag, integer, known, text } from "./checks.js";
import { invalid, shown } from "./errors.js";
import { writeOne } from "./headers.js";
import type { Writer } from "./writer.js";

const U64_MAX = 2n ** 64n - 1n;
const U32_MAX = 2 ** 32 - 1;
/** In the engine's order. */
const OVERFLOWS = ["reject", "drop_oldest", "block"];
/** In the engine's order. */
const DISPATCHES = ["round_robin", "random", "least_loaded"];

type Passed = Record<string, unknown>;

/** For each option, in the engine's order, what it becomes. */
const OPTIONS: Record<string, (name: string, value: unknown) => unknown> = {
  capacity: orNull(count),
  capacityBytes: orNull(count),
  overflow: oneOf(OVERFLOWS),
  lease: duration,
  maxAttempts: orNull((name, value) => integer(name, value, 0, U32_MAX)),
  backoff,
  deadLetter,
  ttl: orNull(duration),
  priorities: (name, value) => integer(name, value, 0, U32_MAX),
  orderedKeys: flag,
  durability: orNull((_, value) => durability(value)),
  dispatch: oneOf(DISPATCHES),
  singleActiveConsumer: flag,
  dedupWindow: orNull(duration),
  expires: orNull(duration),
  exclusive: flag,
  autoDelete: flag,
};

/** The place of each is what the engine knows it by. */
const PLACES = Object.keys(OPTIONS);
const NAMES: ReadonlySet<string> = new Set(PLACES);
const NAMES_AND_CREATE: ReadonlySet<string> = new Set([...NAMES, "create"]);
const BACKOFF_NAMES: ReadonlySet<string> = new Set(["initial", "factor", "max", "jitter"]);

/** Writes the options as the engine takes them. What is `undefined` was not passed. Throws `InvalidArgument`. */
export function writeOptions(
  writer: Writer,
  what: string,
  options: (QueueOptions & { create?: unknown }) | undefined,
): void {
  const passed = known(what, options, what === "queue" ? NAMES_AND_CREATE : NAMES);
  for (const [name, value] of Object.entries(passed)) {
    const check = OPTIONS[name];
    if (check === undefined || value === undefined) continue;
    const checked = check(name, value);
    writer.byte(PLACES.indexOf(name));
    writeOne(writer, checked, name);
  }
}

function orNull(check: (name: string, value: unknown) => unknown) {
  return (name: string, value: unknown) => (value === null ? null : check(name, value));
}

/** One of three words; becomes its place. */
function oneOf(words: readonly string[]) {
  return (name: string, value: unknown): number => {
    const place = words.indexOf(value as string);
    if (place < 0) throw invalid(`${name} is ${shown(value)}; pass "${words[0]}", "${words[1]}" or "${words[2]}"`);
    return place;
  };
}

function count(name: string, value: unknown): number | bigint {
  // The engine takes the highest bit for what it is.
  if (typeof value === "bigint" && value >= 0n && value <= U64_MAX) return BigInt.asIntN(64, value);
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw invalid(
    `${name} is ${shown(value)}; pass a whole number of at least 1 (a bigint beyond 2^53), or null for no limit`,
  );
}

/** Initial, factor, max, jitter; null: its default. */
function backoff(name: string, value: unknown): unknown[] {
  if (typeof value === "number") {
    const wait = duration(name, value);
    return [wait, 1, wait, 0];
  }
  if (typeof value !== "object" || value === null) {
    throw invalid(`${name} is ${shown(value)}; pass { initial, factor, max, jitter }, or milliseconds`);
  }
  const { initial, factor, max, jitter } = known<Passed>(name, value as Passed, BACKOFF_NAMES);
  return [
    given(`${name}.initial`, initial, duration),
    given(`${name}.factor`, factor, amount),
    given(`${name}.max`, max, duration),
    given(`${name}.jitter`, jitter, amount),
  ];
}

function given(name: string, value: unknown, check: (name: string, value: unknown) => unknown): unknown {
  return value === undefined ? null : check(name, value);
}

function amount(name: string, value: unknown): number {
  if (typeof value !== "number" || Number.isNaN(value)) throw invalid(`${name} is ${shown(value)}; pass a number`);
  return value;
}

function deadLetter(name: string, value: unknown): unknown {
  if (value === null || value === false) return value;
  if (typeof value === "string") return text(name, value);
  if (Array.isArray(value) && value.length === 2) {
    return [text(name, value[0]), text(name, value[1])];
  }
  throw invalid(
    `${name} is ${shown(value)}; pass a queue's name, [exchange, key], false to discard, or null for <queue>.dead`,
  );
}
