// Lines for a log: the page's console, or what is passed instead. Never a body. Names are quoted: a name can hold no line of its own.

import type { Log } from "./api.js";
import type { Clock } from "./clock.js";
import { invalid, shown } from "./errors.js";
import type { Timer, Timers } from "./timers.js";

/** The same of the same queue at most so often; what comes between is counted. */
const LINE_MS = 1000;
/** Most different lines that wait to be said. */
const LINES_MAX = 1000;

type Sentence = (queue: string, count: number, detail: string) => string;

/** In the order of the engine's `results.rs`. */
const NOTICES: readonly Sentence[] = [
  (queue, count, detail) => `queue ${queue}: ${count} messages were dead-lettered (${detail})`,
  (queue, count) => `queue ${queue}: ${count} dead letters wait for room in their dead-letter queue, or for a binding`,
  (queue, count) => `queue ${queue} was full: ${count} produce calls were refused`,
  (queue, count) => `queue ${queue}: ${count} leases ended before their deliveries were settled`,
  () => "the store failed: calls that wait get Indeterminate, later ones StoreFailed; open it anew",
  (queue, count) => `queue ${queue}: ${count} replies were dropped, nobody waits for them (any more)`,
];
const STORE_FAILED = 4;
const STRAY = 5;

interface Line {
  readonly what: number;
  readonly queue: string;
  readonly detail: string;
  count: number;
}

export class Lines {
  readonly #log: Log | undefined;
  readonly #clock: Clock;
  readonly #timers: Timers;
  readonly #waiting = new Map<string, Line>();
  #timer: Timer | undefined;
  #told = Number.NEGATIVE_INFINITY;

  constructor(log: Log | undefined, clock: Clock, timers: Timers) {
    this.#log = log;
    this.#clock = clock;
    this.#timers = timers;
  }

  /** Whether anybody listens: the engine notices nothing otherwise. */
  get wanted(): boolean {
    return this.#log !== undefined;
  }

  /** That a broker was opened or closed is for debugging. */
  debug(line: string): void {
    this.#say("debug", line);
  }

  /** What was found when a store was opened. */
  warn(line: string): void {
    this.#say("warn", line);
  }

  /** What a user's function threw. */
  error(line: string, cause: unknown): void {
    this.#say("error", line, cause);
  }

  /** A reply that nobody waits for. */
  stray(queue: string): void {
    this.notice({ what: STRAY, queue, detail: "", count: 1 });
  }

  /** What the engine noticed. */
  notice(line: Line): void {
    if (this.#log === undefined) return;
    const name = `${line.what} ${line.detail} ${line.queue}`;
    const same = this.#waiting.get(name);
    if (same !== undefined) same.count += line.count;
    else if (this.#waiting.size < LINES_MAX) this.#waiting.set(name, line);
    // Never from within the call that it was noticed in: a log may be anybody's code. What can be said at once is said before a process ends; nothing keeps it alive longer.
    const now = this.#clock.now();
    const at = Math.max(now, this.#told + LINE_MS);
    this.#timer ??= this.#timers.set(at, () => this.flush(), at === now);
  }

  /** Says what waits. */
  flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#told = this.#clock.now();
    const lines = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { what, queue, detail, count } of lines) {
      const sentence = NOTICES[what]?.(JSON.stringify(queue), count, detail);
      if (sentence !== undefined) this.#say(what === STORE_FAILED ? "error" : "warn", sentence);
    }
  }

  #say(level: "debug" | "warn" | "error", line: string, ...more: unknown[]): void {
    try {
      this.#log?.[level](`ferrymq: ${line}`, ...more);
    } catch {
      // What a log throws is nobody's concern here.
    }
  }
}

/** A log as it was passed. Throws `InvalidArgument` for what cannot be one. */
export function checkedLog(value: unknown): Log | undefined {
  if (value === undefined || value === null) return undefined;
  const log = value as Log;
  const isLog =
    typeof value === "object" && [log.debug, log.warn, log.error].every((each) => typeof each === "function");
  if (!isLog) throw invalid(`log is ${shown(value)}; pass console, or an object with debug, warn and error`);
  return log;
}
