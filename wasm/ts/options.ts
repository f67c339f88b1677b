// A queue's options: JavaScript's names and kinds to the core's.

import type { QueueOptions } from "./api.js";
import { duration, integer, known, text } from "./checks.js";
import { invalid, shown } from "./errors.js";

const U64_MAX = 2n ** 64n - 1n;
const U32_MAX = 2 ** 32 - 1;
const OVERFLOWS = ["reject", "drop_oldest", "block"];
const DURABILITIES = ["memory", "written", "durable"];

/** For each option its name in the core, and what it may be. */
const OPTIONS: Record<string, readonly [name: string, check: (name: string, value: unknown) => unknown]> = {
  capacity: ["capacity", orNull(count)],
  capacityBytes: ["capacity_bytes", orNull(count)],
  overflow: ["overflow", oneOf(OVERFLOWS)],
  lease: ["lease", duration],
  maxAttempts: ["max_attempts", orNull((name, value) => integer(name, value, 0, U32_MAX))],
  backoff: ["backoff", backoff],
  deadLetter: ["dead_letter", deadLetter],
  ttl: ["ttl", orNull(duration)],
  priorities: ["priorities", (name, value) => integer(name, value, 0, U32_MAX)],
  orderedKeys: ["ordered_keys", boolean],
  durability: ["durability", orNull(oneOf(DURABILITIES))],
};

const NAMES: ReadonlySet<string> = new Set(Object.keys(OPTIONS));
const NAMES_AND_CREATE: ReadonlySet<string> = new Set([...NAMES, "create"]);
const BACKOFF_NAMES: ReadonlySet<string> = new Set(["initial", "factor", "max", "jitter"]);

/** The options as the core deserialises them. What is `undefined` was not passed. Throws `InvalidArgument`. */
export function queueOptions(what: string, options: (QueueOptions & { create?: unknown }) | undefined): object {
  const passed = known(what, options, what === "queue" ? NAMES_AND_CREATE : NAMES);
  const result: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(passed)) {
    const option = OPTIONS[name];
    if (option === undefined || value === undefined) continue;
    result[option[0]] = option[1](name, value);
  }
  return result;
}

function orNull(check: (name: string, value: unknown) => unknown) {
  return (name: string, value: unknown) => (value === null ? null : check(name, value));
}

function oneOf(values: readonly string[]) {
  return (name: string, value: unknown) => {
    if (!values.includes(value as string)) {
      throw invalid(`${name} is ${shown(value)}; pass ${values.map((each) => `"${each}"`).join(" or ")}`);
    }
    return value;
  };
}

function boolean(name: string, value: unknown): boolean {
  if (typeof value !== "boolean") throw invalid(`${name} is ${shown(value)}; pass true or false`);
  return value;
}

function count(name: string, value: unknown): number | bigint {
  if (typeof value === "bigint" && value >= 0n && value <= U64_MAX) return value;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw invalid(
    `${name} is ${shown(value)}; pass a whole number of at least 1 (a bigint beyond 2^53), or null for no limit`,
  );
}

function backoff(name: string, value: unknown): unknown {
  if (typeof value === "number") return duration(name, value);
  if (typeof value !== "object" || value === null) {
    throw invalid(`${name} is ${shown(value)}; pass { initial, factor, max, jitter }, or milliseconds`);
  }
  const passed = known<Record<string, unknown>>(name, value as Record<string, unknown>, BACKOFF_NAMES);
  const result: Record<string, unknown> = {};
  for (const [part, amount] of Object.entries(passed)) {
    if (amount === undefined) continue;
    if (part === "initial" || part === "max") result[part] = duration(`${name}.${part}`, amount);
    else if (typeof amount === "number" && !Number.isNaN(amount)) result[part] = amount;
    else throw invalid(`${name}.${part} is ${shown(amount)}; pass a number`);
  }
  return result;
}

function deadLetter(name: string, value: unknown): unknown {
  if (value === null || value === false) return value;
  if (typeof value === "string") return text(name, value);
  if (Array.isArray(value) && value.length === 2) return value.map((part) => text(name, part));
  throw invalid(
    `${name} is ${shown(value)}; pass a queue's name, [exchange, key], false to discard, or null for <queue>.dead`,
  );
}
