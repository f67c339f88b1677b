// A queue's options: checked, and named as the engine names them.

import type { QueueOptions } from "./api.js";
import { durability, duration, flag, integer, known, text } from "./checks.js";
import { invalid, shown } from "./errors.js";

const U64_MAX = 2n ** 64n - 1n;
const U32_MAX = 2 ** 32 - 1;
const OVERFLOWS = ["reject", "drop_oldest", "block"];
const DISPATCHES = ["round_robin", "random", "least_loaded"];

type Passed = Record<string, unknown>;

/** For each option what it becomes. */
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
  durability: orNull(level),
  dispatch: oneOf(DISPATCHES),
  singleActiveConsumer: flag,
  dedupWindow: orNull(duration),
  expires: orNull(duration),
  exclusive: flag,
  autoDelete: flag,
};

const NAMES: ReadonlySet<string> = new Set(Object.keys(OPTIONS));
const NAMES_AND_CREATE: ReadonlySet<string> = new Set([...NAMES, "create"]);
const BACKOFF_NAMES: ReadonlySet<string> = new Set(["initial", "factor", "max", "jitter"]);

/** The options as the engine takes them. What is `undefined` was not passed. Throws `InvalidArgument`. */
export function queueOptions(what: string, options: (QueueOptions & { create?: unknown }) | undefined): Passed {
  const passed = known<Passed>(what, options as Passed | undefined, what === "queue" ? NAMES_AND_CREATE : NAMES);
  const result: Passed = {};
  for (const [name, value] of Object.entries(passed)) {
    const check = OPTIONS[name];
    if (check === undefined || value === undefined) continue;
    result[name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)] = check(name, value);
  }
  return result;
}

function orNull(check: (name: string, value: unknown) => unknown) {
  return (name: string, value: unknown) => (value === null ? null : check(name, value));
}

/** One of three words. */
function oneOf(words: readonly string[]) {
  return (name: string, value: unknown): unknown => {
    if (words.includes(value as string)) return value;
    throw invalid(`${name} is ${shown(value)}; pass "${words[0]}", "${words[1]}" or "${words[2]}"`);
  };
}

function level(_: string, value: unknown): unknown {
  durability(value);
  return value;
}

function count(name: string, value: unknown): number | bigint {
  if (typeof value === "bigint" && value >= 0n && value <= U64_MAX) return value;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw invalid(
    `${name} is ${shown(value)}; pass a whole number of at least 1 (a bigint beyond 2^53), or null for no limit`,
  );
}

/** A constant wait, or the parts that were given. */
function backoff(name: string, value: unknown): unknown {
  if (typeof value === "number") return duration(name, value);
  if (typeof value !== "object" || value === null) {
    throw invalid(`${name} is ${shown(value)}; pass { initial, factor, max, jitter }, or milliseconds`);
  }
  const parts: Passed = {};
  for (const [part, given] of Object.entries(known<Passed>(name, value as Passed, BACKOFF_NAMES))) {
    if (given === undefined) continue;
    const check = part === "initial" || part === "max" ? duration : amount;
    parts[part] = check(`${name}.${part}`, given);
  }
  return parts;
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
