// A push consumer: what is reserved for it, handed out as it is asked for.

import { onAbort } from "./aborts.js";
import type { Consumer, ConsumerOptions, Delivery } from "./api.js";
import { abortSignal, flag, integer, known } from "./checks.js";
import { ASYNC_DISPOSE } from "./disposal.js";
import { FerryError } from "./errors.js";
import { nothing, readDeliveries } from "./message.js";
import type { QueueHandle } from "./queue.js";

const OPTIONS: ReadonlySet<string> = new Set(["prefetch", "autoAck", "signal"]);
const PREFETCH_DEFAULT = 100;
const BATCH_MAX = 2 ** 32 - 1;

export class ConsumerHandle implements Consumer {
  readonly #queue: QueueHandle;
  readonly #place: number;
  readonly #generation: number;
  readonly #signal: AbortSignal | undefined;
  readonly #unhear: () => void;
  #closed = false;

  constructor(queue: QueueHandle, options: ConsumerOptions | undefined) {
    const { core, place, generation } = queue;
    const passed = known<ConsumerOptions>("consumer", options, OPTIONS);
    const prefetch = integer("prefetch", passed.prefetch ?? PREFETCH_DEFAULT, 0, BATCH_MAX);
    const autoAck = flag("autoAck", passed.autoAck);
    const signal = abortSignal(passed.signal);
    if (signal?.aborted) throw signal.reason;
    const id = core.ask(
      (native) => native.open_consumer(core.clock.now(), place, generation, prefetch, autoAck),
      (core) => ({ place: core.place(), generation: core.generation() }),
    );
    this.#queue = queue;
    this.#place = id.place;
    this.#generation = id.generation;
    this.#signal = signal;
    this.#unhear = onAbort(signal, () => {
      this.close().catch(() => undefined);
    });
  }

  consumeMany(max: number): Promise<Delivery[]> {
    return this.#take(() => integer("max", max, 1, BATCH_MAX), 0);
  }

  async next(): Promise<IteratorResult<Delivery, undefined>> {
    try {
      const [delivery] = await this.#take(() => 1, Number.POSITIVE_INFINITY);
      if (delivery !== undefined) return { done: false, value: delivery };
    } catch (error) {
      // Closing it for the abort ends the wait before the abort itself does.
      if (this.#signal?.aborted) throw this.#signal.reason;
      if (!(error instanceof FerryError) || error.code !== "Closed") throw error;
    }
    return { done: true, value: undefined };
  }

  async return(): Promise<IteratorResult<Delivery, undefined>> {
    await this.close();
    return { done: true, value: undefined };
  }

  close(): Promise<void> {
    const { core } = this.#queue;
    this.#unhear();
    if (this.#closed || !core.open) return Promise.resolve();
    this.#closed = true;
    return core.call(
      (native) => native.close_consumer(core.clock.now(), this.#place, this.#generation),
      nothing,
      undefined,
    );
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  [ASYNC_DISPOSE](): Promise<void> {
    return this.close();
  }

  #take(max: () => number, wait: number): Promise<Delivery[]> {
    const { core } = this.#queue;
    return core.call(
      (native) => native.take(core.clock.now(), this.#place, this.#generation, max(), wait),
      readDeliveries,
      this.#queue,
      this.#signal === undefined ? undefined : { signal: this.#signal },
    );
  }
}
