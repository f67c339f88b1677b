// Arguments: kinds and signs are checked here, limits in the engine.

import { invalid, shown } from "./errors.js";

const NOT_PASSED = Number.NaN;

/** A duration in whole milliseconds, rounded up: never shorter than asked. */
export function duration(name: string, value: unknown): number {
  if (typeof value !== "number" || !(value >= 0) || value === Number.POSITIVE_INFINITY) {
    throw invalid(`${name} is ${shown(value)}; pass a number of milliseconds, 0 or more`);
  }
  return Math.ceil(value);
}

/** As `duration`; not a number when it was not passed. */
export function optionalDuration(name: string, value: unknown): number {
  return value === undefined ? NOT_PASSED : duration(name, value);
}

/** How long to wait: infinity for ever, which `null` says too. */
export function timeout(value: unknown, byDefault: number): number {
  if (value === undefined) return byDefault;
  if (value === null || value === Number.POSITIVE_INFINITY) return Number.POSITIVE_INFINITY;
  return duration("timeout", value);
}

/** A whole number between bounds. */
export function integer(name: string, value: unknown, min: number, max: number): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
    throw invalid(`${name} is ${shown(value)}; pass a whole number from ${min} to ${max}`);
  }
  return value;
}

/** True or false, nothing that merely counts as it. */
export function flag(name: string, value: unknown): boolean {
  if (value === undefined) return false;
  if (typeof value !== "boolean") throw invalid(`${name} is ${shown(value)}; pass true or false`);
  return value;
}

const SURROGATE = /\p{Surrogate}/u;

/** A text that UTF-8 can say: half a surrogate pair would be replaced silently. */
export function text(name: string, value: unknown): string {
  if (typeof value !== "string") throw invalid(`${name} is ${shown(value)}; pass a string`);
  if (SURROGATE.test(value)) {
    throw invalid(
      `${name} holds half of a surrogate pair, which UTF-8 cannot say; repair it with value.toWellFormed()`,
    );
  }
  return value;
}

/** A text, or none. */
export function optionalText(name: string, value: unknown): string | undefined {
  return value === undefined || value === null ? undefined : text(name, value);
}

/** How safe: the engine's number for it, 0 when it was not passed. */
export function durability(value: unknown): number {
  if (value === undefined || value === null) return 0;
  const level = ["memory", "written", "durable"].indexOf(value as string) + 1;
  if (level === 0) {
    throw invalid(`durability is ${shown(value)}; pass "memory", "written" or "durable"`);
  }
  return level;
}

/** Something like an AbortSignal, or none. */
export function abortSignal(value: unknown): AbortSignal | undefined {
  if (value === undefined || value === null) return undefined;
  const signal = value as AbortSignal;
  if (typeof signal.aborted !== "boolean" || typeof signal.addEventListener !== "function") {
    throw invalid(`signal is ${shown(value)}; pass an AbortSignal`);
  }
  return signal;
}

/** An object of options whose names are all known. */
export function known<T extends object>(what: string, options: T | undefined | null, names: ReadonlySet<string>): T {
  if (options === undefined || options === null) return EMPTY as T;
  if (typeof options !== "object" || Array.isArray(options)) {
    throw invalid(`the options of ${what} are ${shown(options)}; pass an object`);
  }
  for (const name of Object.keys(options)) {
    if (!names.has(name)) {
      throw invalid(`${what} has no option ${shown(name)}; it has ${[...names].join(", ")}`);
    }
  }
  return options;
}

const EMPTY = Object.freeze({});
