// The one error, and the engine's sentences in JavaScript's words.

import type { Delivery } from "./api.js";

/**
 * Why a call was refused: the same codes in every language.
 *
 * | code | do |
 * |---|---|
 * | `Closed` | open anew |
 * | `Indeterminate` | the outcome is unknown: open anew and look |
 * | `InvalidArgument` | read the message, it names value and limit |
 * | `LeaseLost` | drop the work: someone else may have it |
 * | `MessageTooLarge` | store the body elsewhere and send a reference |
 * | `NotFound` | declare the queue or exchange |
 * | `QueueConflict` | declare with the same options, or `alter` |
 * | `QueueFull` | try later, raise the capacity, or consume |
 * | `StoreCorrupt` | restore from a backup |
 * | `StoreFailed` | open anew |
 * | `StoreLocked` | close it where it is open |
 * | `Unavailable` | try again |
 * | `Unroutable` | bind a queue |
 */
export type ErrorCode =
  | "Closed"
  | "Indeterminate"
  | "InvalidArgument"
  | "LeaseLost"
  | "MessageTooLarge"
  | "NotFound"
  | "QueueConflict"
  | "QueueFull"
  | "StoreCorrupt"
  | "StoreFailed"
  | "StoreLocked"
  | "Unavailable"
  | "Unroutable";

// In the order of the core's `ErrorKind::ALL`: the registers say which by its place.
const CODES: readonly ErrorCode[] = [
  "Closed",
  "Indeterminate",
  "InvalidArgument",
  "LeaseLost",
  "MessageTooLarge",
  "NotFound",
  "QueueConflict",
  "QueueFull",
  "StoreCorrupt",
  "StoreFailed",
  "StoreLocked",
  "Unavailable",
  "Unroutable",
];

/**
 * Every refusal. `code` says what to do, `message` what happened.
 *
 * ```ts
 * try {
 *   await orders.produce(order);
 * } catch (error) {
 *   if (error instanceof FerryError && error.retryable) retryLater(order);
 *   else throw error;
 * }
 * ```
 */
export class FerryError extends Error {
  override readonly name = "FerryError";
  /** What to do; see {@link ErrorCode}. */
  readonly code: ErrorCode;
  /** Whether the same call may succeed later without any change. */
  readonly retryable: boolean;
  /** With `LeaseLost` from `ackMany`: what could not be acked; everything else was. */
  readonly lost?: readonly (Delivery | Uint8Array)[];

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; lost?: readonly (Delivery | Uint8Array)[] } = {},
  ) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.retryable = code === "QueueFull" || code === "Unavailable";
    if (options.lost !== undefined) this.lost = options.lost;
  }
}

/** A refusal of an argument. */
export function invalid(message: string, cause?: unknown): FerryError {
  return new FerryError("InvalidArgument", message, cause === undefined ? {} : { cause });
}

/** An engine's refusal: the place of its kind, and its sentence. */
export function refusal(place: number, message: string): FerryError {
  return new FerryError(CODES[place] ?? "StoreFailed", inJavaScript(message));
}

const OPTION_WORDS =
  /"(?:[^"\\]|\\.)*"|\b(?:capacity_bytes|max_attempts|dead_letter|ordered_keys|single_active_consumer|dedup_window|dedup_id|auto_delete|content_type|correlation_id|reply_to|message_bytes_max|memory_limit|max_messages|None|False)\b/g;

// The core names options as Rust and Python do. Quoted text is the user's own and stays.
function inJavaScript(message: string): string {
  return message.replace(OPTION_WORDS, (word) => {
    if (word === "None") return "null";
    if (word === "False") return "false";
    if (word.startsWith('"')) return word;
    return word.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  });
}

/** What was thrown, as a sentence. */
export function reasonOf(error: unknown): string {
  try {
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  } catch {
    return "something was thrown that is no text";
  }
}

/** A value as a refusal shows it: short, and never by running code of its own. */
export function shown(value: unknown): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
    case "number":
    case "boolean":
    case "undefined":
      return String(value);
    case "bigint":
      return `${value}n`;
    case "object":
      if (value === null) return "null";
      return Array.isArray(value) ? "an array" : "an object";
    default:
      return `a ${typeof value}`;
  }
}
