// A queue's options: checked, and made one form of each, as the engine's `value.rs` takes them.

import type { QueueOptions } from "./api.js";
import { durability, duration, flag, integer, known, text } from "./checks.js";
import { invalid, shown } from "./errors.js";

const U64_MAX = 2n ** 64n - 1n;
const U32_MAX = 2 ** 32 - 1;
/** In the engine's order. */
const OVERFLOWS = ["reject", "drop_oldest", "block"];

/** The core's default. */
const BACKOFF_FACTOR = 2;

type Passed = Record<string, unknown>;

/** For each option what it becomes: a value of its own name, or an object of several. */
const OPTIONS: Record<string, (name: string, value: unknown) => unknown> = {
  capacity: orNull(count),
  capacityBytes: orNull(count),
  overflow,
  lease: duration,
  maxAttempts: orNull((name, value) => integer(name, value, 0, U32_MAX)),
  backoff,
  deadLetter,
  ttl: orNull(duration),
  priorities: (name, value) => integer(name, value, 0, U32_MAX),
  orderedKeys: flag,
  durability: orNull((_, value) => durability(value)),
};

const NAMES: ReadonlySet<string> = new Set(Object.keys(OPTIONS));
const NAMES_AND_CREATE: ReadonlySet<string> = new Set([...NAMES, "create"]);
const BACKOFF_NAMES: ReadonlySet<string> = new Set(["initial", "factor", "max", "jitter"]);

/** The options as the engine takes them. What is `undefined` was not passed. Throws `InvalidArgument`. */
export function queueOptions(what: string, options: (QueueOptions & { create?: unknown }) | undefined): object {
  const passed = known(what, options, what === "queue" ? NAMES_AND_CREATE : NAMES);
  const result: Passed = {};
  for (const [name, value] of Object.entries(passed)) {
    const check = OPTIONS[name];
    if (check === undefined || value === undefined) continue;
    const checked = check(name, value);
    if (checked instanceof Parts) Object.assign(result, checked.parts);
    else result[name] = checked;
  }
  return result;
}

/** What one option becomes where the engine has several. */
class Parts {
  readonly parts: Passed;

  constructor(parts: Passed) {
    this.parts = parts;
  }
}

function orNull(check: (name: string, value: unknown) => unknown) {
  return (name: string, value: unknown) => (value === null ? null : check(name, value));
}

function overflow(name: string, value: unknown): number {
  const place = OVERFLOWS.indexOf(value as string);
  if (place < 0) throw invalid(`${name} is ${shown(value)}; pass "reject", "drop_oldest" or "block"`);
  return place;
}

function count(name: string, value: unknown): number | bigint {
  if (typeof value === "bigint" && value >= 0n && value <= U64_MAX) return value;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw invalid(
    `${name} is ${shown(value)}; pass a whole number of at least 1 (a bigint beyond 2^53), or null for no limit`,
  );
}

function backoff(name: string, value: unknown): Parts {
  if (typeof value === "number") {
    const wait = duration(name, value);
    return new Parts({ backoffInitial: wait, backoffFactor: 1, backoffMax: wait, backoffJitter: 0 });
  }
  if (typeof value !== "object" || value === null) {
    throw invalid(`${name} is ${shown(value)}; pass { initial, factor, max, jitter }, or milliseconds`);
  }
  const { initial, factor, max, jitter } = known<Passed>(name, value as Passed, BACKOFF_NAMES);
  return new Parts({
    backoffInitial: given(`${name}.initial`, initial, duration),
    // An empty object says "the defaults": one part must be there for it to count as passed.
    backoffFactor: given(`${name}.factor`, factor, amount) ?? BACKOFF_FACTOR,
    backoffMax: given(`${name}.max`, max, duration),
    backoffJitter: given(`${name}.jitter`, jitter, amount),
  });
}

function given(name: string, value: unknown, check: (name: string, value: unknown) => unknown): unknown {
  return value === undefined ? undefined : check(name, value);
}

function amount(name: string, value: unknown): number {
  if (typeof value !== "number" || Number.isNaN(value)) throw invalid(`${name} is ${shown(value)}; pass a number`);
  return value;
}

function deadLetter(name: string, value: unknown): unknown {
  if (value === null || value === false) return value;
  if (typeof value === "string") return text(name, value);
  if (Array.isArray(value) && value.length === 2) {
    return new Parts({ deadLetter: text(name, value[0]), deadLetterKey: text(name, value[1]) });
  }
  throw invalid(
    `${name} is ${shown(value)}; pass a queue's name, [exchange, key], false to discard, or null for <queue>.dead`,
  );
}
