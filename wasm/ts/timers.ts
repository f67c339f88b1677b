// Moments at which something here is due: a request that nobody answered, a lease to be renewed, a look of an alarm. The engine has its own.

import type { Clock } from "./clock.js";

/** A timer cannot be set further ahead. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** Something that will be done. */
export interface Timer {
  cancel(): void;
}

interface Entry {
  readonly at: number;
  readonly run: () => void;
  timeout: ReturnType<typeof setTimeout> | undefined;
}

export class Timers {
  readonly #clock: Clock;
  readonly #entries = new Set<Entry>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Runs `run` once at `at`. `holds`: somebody waits for it, so that in Node the process stays alive until then. */
  set(at: number, run: () => void, holds: boolean): Timer {
    const entry: Entry = { at, run, timeout: undefined };
    this.#entries.add(entry);
    if (this.#clock.runs) this.#arm(entry, holds);
    return {
      cancel: () => {
        this.#entries.delete(entry);
        clearTimeout(entry.timeout);
      },
    };
  }

  /** When the next is due; for a clock that is moved by hand. */
  get next(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { at } of this.#entries) next = Math.min(next, at);
    return next;
  }

  /** Runs what is due; for a clock that is moved by hand. */
  fire(): void {
    const now = this.#clock.now();
    const due = [...this.#entries].filter(({ at }) => at <= now).sort((a, b) => a.at - b.at);
    for (const entry of due) if (this.#entries.delete(entry)) entry.run();
  }

  /** Nothing is done any more. */
  end(): void {
    for (const { timeout } of this.#entries) clearTimeout(timeout);
    this.#entries.clear();
  }

  #arm(entry: Entry, holds: boolean): void {
    const ahead = Math.min(Math.max(entry.at - this.#clock.now(), 0), TIMER_MS_MAX);
    const timeout = setTimeout(() => {
      if (entry.at > this.#clock.now()) this.#arm(entry, holds);
      else if (this.#entries.delete(entry)) entry.run();
    }, ahead);
    entry.timeout = timeout;
    // A page has numbers here.
    if (!holds && typeof timeout === "object") timeout.unref?.();
  }
}
