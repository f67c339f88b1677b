// Leases that are renewed while a handler runs.

import type { Core } from "./core.js";
import type { TakenDelivery } from "./message.js";
import type { Timer } from "./timers.js";

/** Renewed each time such a part of the lease has passed: twice it may come late. */
const PART = 3;

interface Kept {
  readonly delivery: TakenDelivery;
  readonly lease: number;
  readonly lost: (error: unknown) => void;
  due: number;
}

/**
 * One timer for all of them, which is not moved when a handler is done: it fires, looks through those that still run, and is set to the next that is due.
 * A handler that is quick costs an entry in a set and no timer.
 */
export class Renewals {
  readonly #core: Core;
  readonly #kept = new Set<Kept>();
  #timer: Timer | undefined;
  #timerDue = Number.POSITIVE_INFINITY;

  constructor(core: Core) {
    this.#core = core;
  }

  /** Renews the delivery's lease until the returned function is called; `lost` is called when the lease was lost all the same. */
  keep(delivery: TakenDelivery, lost: (error: unknown) => void): () => void {
    const now = this.#core.clock.now();
    const lease = delivery.deadline - now;
    const kept: Kept = { delivery, lease, lost, due: now + Math.ceil(lease / PART) };
    this.#kept.add(kept);
    if (kept.due < this.#timerDue) this.#arm(kept.due);
    return () => {
      this.#kept.delete(kept);
    };
  }

  #arm(due: number): void {
    this.#timer?.cancel();
    this.#timerDue = due;
    this.#timer = this.#core.timers.set(due, () => this.#fire(), false);
  }

  #fire(): void {
    this.#timerDue = Number.POSITIVE_INFINITY;
    const now = this.#core.clock.now();
    let next = Number.POSITIVE_INFINITY;
    for (const kept of this.#kept) {
      if (kept.due <= now) this.#renew(kept, now);
      if (!this.#kept.has(kept)) continue;
      next = Math.min(next, kept.due);
    }
    if (next < this.#timerDue) this.#arm(next);
  }

  #renew(kept: Kept, now: number): void {
    if (kept.delivery.settled) {
      this.#kept.delete(kept);
      return;
    }
    kept.due = now + Math.ceil(kept.lease / PART);
    kept.delivery.extend(kept.lease).catch((error: unknown) => {
      // There is nothing to renew any more.
      if (this.#kept.delete(kept)) kept.lost(error);
    });
  }
}
