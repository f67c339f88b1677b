// Where `now` comes from: the engine reads no clock.

import { invalid, shown } from "./errors.js";

/** Whole milliseconds that never go back. */
export interface Clock {
  /** Whether time passes by itself, so that timers are to be set. */
  readonly runs: boolean;
  now(): number;
}

/** How far the system's clock may be ahead before it is followed. */
const AHEAD_MS_MAX = 1000;

/**
 * The wall clock, made monotonic: it runs as `performance.now()` does, which no one sets back, and is moved forward when the system's clock
 * got ahead of it, as after sleep, which `performance.now()` may not count.
 */
export class WallClock implements Clock {
  readonly runs = true;
  #base = Date.now() - performance.now();

  now(): number {
    const steady = performance.now();
    const wall = Date.now();
    if (wall - (this.#base + steady) > AHEAD_MS_MAX) this.#base = wall - steady;
    return Math.floor(this.#base + steady);
  }

  /** From here on it shows no time before this one: a store's time goes on where it ended, though the system's clock was set back. */
  notBefore(at: number): void {
    this.#base += Math.max(at - (this.#base + performance.now()), 0);
  }
}

/** A clock that a test moves by hand; it starts at 0. */
export class ManualClock implements Clock {
  readonly runs = false;
  #now = 0;

  now(): number {
    return this.#now;
  }

  moveTo(at: number): void {
    if (!Number.isSafeInteger(at) || at < this.#now) {
      throw invalid(
        `the clock is at ${this.#now} ms and cannot be moved to ${shown(at)}; pass a whole number not below it`,
      );
    }
    this.#now = at;
  }
}
