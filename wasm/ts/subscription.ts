// A subscription: a push consumer whose messages are run through a handler.

import { onAbort } from "./aborts.js";
import type { Delivery, Handler, HandlerContext, StopOptions, SubscribeOptions, Subscription } from "./api.js";
import { abortSignal, integer, known, timeout } from "./checks.js";
import { ConsumerHandle } from "./consumer.js";
import type { Core } from "./core.js";
import { ASYNC_DISPOSE } from "./disposal.js";
import { FerryError, invalid, reasonOf, shown } from "./errors.js";
import type { TakenDelivery } from "./message.js";
import type { QueueHandle } from "./queue.js";

const SUBSCRIBE_OPTIONS: ReadonlySet<string> = new Set(["concurrency", "signal"]);
const STOP_OPTIONS: ReadonlySet<string> = new Set(["timeout"]);
const CONCURRENCY_MAX = 65_535;
/** What containers get between being asked to end and being ended. */
const STOP_MS_DEFAULT = 30_000;

/** One run of the handler. */
class Run implements HandlerContext {
  readonly delivery: TakenDelivery;
  /** Whether what becomes of the message is still to be said here. */
  open = true;
  #controller: AbortController | undefined;
  #aborted: { reason: unknown } | undefined;

  constructor(delivery: TakenDelivery) {
    this.delivery = delivery;
  }

  /** Made when asked for: most handlers never ask. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted !== undefined) this.#controller.abort(this.#aborted.reason);
    }
    return this.#controller.signal;
  }

  get aborted(): boolean {
    return this.#aborted !== undefined;
  }

  abort(reason: unknown): void {
    this.#aborted ??= { reason };
    this.#controller?.abort(reason);
  }
}

export class SubscriptionHandle implements Subscription {
  readonly ended: Promise<FerryError | undefined>;
  readonly #core: Core;
  readonly #consumer: ConsumerHandle;
  readonly #handler: Handler;
  readonly #running = new Set<Run>();
  readonly #workers: Promise<unknown>;
  /** A handler that never ends keeps nobody waiting who waits for the end. */
  readonly #over: () => void;
  #failure: FerryError | undefined;
  #stopped: Promise<boolean> | undefined;

  constructor(queue: QueueHandle, handler: Handler, options: SubscribeOptions | undefined) {
    if (typeof handler !== "function") {
      throw invalid(`the handler is ${shown(handler)}; pass a function that takes a delivery`);
    }
    const passed = known<SubscribeOptions>("subscribe", options, SUBSCRIBE_OPTIONS);
    const concurrency = integer("concurrency", passed.concurrency ?? 1, 1, CONCURRENCY_MAX);
    const signal = abortSignal(passed.signal);
    if (signal?.aborted) throw signal.reason;
    this.#core = queue.core;
    this.#handler = handler;
    // Nothing is reserved that no handler is free for: whoever else listens gets it at once.
    this.#consumer = new ConsumerHandle(queue, { prefetch: concurrency });
    const unhear = onAbort(signal, () => {
      this.#abort(signal?.reason);
      this.stop().catch(() => undefined);
    });
    let over: () => void = () => undefined;
    const unwatch = this.#core.onEnd((reason) => {
      this.#abort(reason);
      this.#over();
    });
    this.ended = new Promise((resolve) => {
      over = () => {
        unwatch();
        unhear();
        resolve(this.#failure);
      };
    });
    this.#over = over;
    this.#workers = Promise.all(Array.from({ length: concurrency }, () => this.#work()));
    this.#workers.then(over);
  }

  stop(options?: StopOptions): Promise<boolean> {
    let ms: number;
    try {
      ms = timeout(known<StopOptions>("stop", options, STOP_OPTIONS).timeout, STOP_MS_DEFAULT);
    } catch (error) {
      return Promise.reject(error);
    }
    this.#stopped ??= this.#stop(ms);
    return this.#stopped;
  }

  [ASYNC_DISPOSE](): Promise<void> {
    return this.stop().then(() => undefined);
  }

  /** Waits for the handlers that run, then gives back what they have not finished. */
  async #stop(ms: number): Promise<boolean> {
    // What is reserved goes back at once; the workers that wait hear of it and end.
    const closed = this.#consumer.close();
    const finished = this.#finished(ms);
    await closed;
    if (await finished) return true;
    const left = [...this.#running];
    this.#abort(new FerryError("Closed", "the subscription was stopped before this handler had finished"));
    await Promise.all(left.map((run) => this.#settle(run, () => run.delivery.release())));
    this.#over();
    return left.length === 0;
  }

  /** True once no handler runs any more, false after so many milliseconds. */
  #finished(ms: number): Promise<boolean> {
    if (this.#running.size === 0 || !this.#core.open) return Promise.resolve(true);
    return new Promise((resolve) => {
      const { clock, timers } = this.#core;
      const timer = Number.isFinite(ms) ? timers.set(clock.now() + ms, () => resolve(false), true) : undefined;
      const unwatch = this.#core.onEnd(() => resolve(true));
      this.#workers.then(() => {
        timer?.cancel();
        unwatch();
        resolve(true);
      });
    });
  }

  #abort(reason: unknown): void {
    for (const run of this.#running) run.abort(reason);
  }

  /** One after the other, until the consumer is closed. */
  async #work(): Promise<void> {
    for (;;) {
      let next: IteratorResult<Delivery, undefined>;
      try {
        next = await this.#consumer.next();
      } catch (error) {
        this.#fail(error);
        return;
      }
      if (next.done) return;
      await this.#run(new Run(next.value as TakenDelivery));
    }
  }

  async #run(run: Run): Promise<void> {
    const { delivery } = run;
    this.#running.add(run);
    // The engine renews the lease as long as the handler runs.
    delivery.keep(true).catch(() => undefined);
    try {
      await this.#handler(delivery, run);
      await this.#settle(run, () => delivery.ack());
    } catch (error) {
      if (run.aborted) await this.#settle(run, () => delivery.release());
      else {
        const reason = reasonOf(error);
        this.#core.log.error(`a handler failed on queue ${JSON.stringify(delivery.queue)}`, error);
        await this.#settle(run, () => delivery.nack({ reason }));
      }
    } finally {
      this.#running.delete(run);
    }
  }

  /** Says once what becomes of a message. What its handler has settled, and what was lost, is left alone. */
  async #settle(run: Run, how: () => Promise<void>): Promise<void> {
    if (!run.open) return;
    run.open = false;
    if (run.delivery.settled || !this.#core.open) return;
    try {
      await how();
    } catch (error) {
      if (!(error instanceof FerryError) || error.code !== "LeaseLost") this.#fail(error);
    }
  }

  /** The subscription goes no further. */
  #fail(error: unknown): void {
    const isFirst = this.#failure === undefined;
    this.#failure ??= error instanceof FerryError ? error : new FerryError("Closed", reasonOf(error), { cause: error });
    if (isFirst && this.#core.open) {
      this.#core.log.error("a subscription ended", error);
      this.#consumer.close().catch(() => undefined);
    }
  }
}
