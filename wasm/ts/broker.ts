// The broker's verbs.

import type {
  Broker,
  BrokerStats,
  Exchange,
  ExchangeKind,
  Queue,
  QueueOptions,
  QueueStats,
  StorageInfo,
  Transaction,
} from "./api.js";
import { flag, known, text } from "./checks.js";
import type { Core } from "./core.js";
import { FerryError, invalid, shown } from "./errors.js";
import { declareExchange, ExchangeHandle } from "./exchange.js";
import { writeOptions } from "./options.js";
import { QueueHandle } from "./queue.js";
import { readBroker, readQueues } from "./stats.js";
import { TransactionList } from "./transaction.js";

const EXCHANGE_OPTIONS: ReadonlySet<string> = new Set(["kind", "create"]);

// Runtimes without explicit resource management look the method up under this name, as TypeScript's helpers do.
const ASYNC_DISPOSE: typeof Symbol.asyncDispose = Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose");

export class BrokerHandle implements Broker {
  readonly storage: StorageInfo;
  readonly #core: Core;
  readonly #keep: boolean;

  /** `keep`: the engine's memory stays after a close, for a test that opens it anew. */
  constructor(core: Core, storage: StorageInfo, keep: boolean) {
    this.#core = core;
    this.storage = Object.freeze(storage);
    this.#keep = keep;
  }

  queue(name: string, options?: QueueOptions & { readonly create?: boolean }): Promise<Queue> {
    const core = this.#core;
    return core.call(
      (native) => {
        text("the queue's name", name);
        const create = options?.create === undefined ? true : flag("create", options.create);
        return core.written(
          (writer) => {
            writer.text(name);
            writeOptions(writer, "queue", options);
          },
          (length) => native.declare_queue(core.clock.now(), length, create),
        );
      },
      (core) => new QueueHandle(core, name, core.place(), core.generation()),
      undefined,
    );
  }

  exchange(name: string, options?: { readonly kind?: ExchangeKind; readonly create?: boolean }): Promise<Exchange> {
    const core = this.#core;
    let kind: ExchangeKind = "topic";
    return core.call(
      (native) => {
        text("the exchange's name", name);
        const passed = known("exchange", options, EXCHANGE_OPTIONS);
        kind = passed.kind ?? "topic";
        const create = passed.create === undefined ? true : flag("create", passed.create);
        return declareExchange(core, native, name, kind, create);
      },
      (core) => new ExchangeHandle(core, name, kind, core.place(), core.generation()),
      undefined,
    );
  }

  async transaction<T>(work: (tx: Transaction) => T | Promise<T>): Promise<T> {
    if (typeof work !== "function") {
      throw invalid(`the transaction's work is ${shown(work)}; pass a function that takes the transaction`);
    }
    const transaction = new TransactionList(this.#core);
    let result: T;
    try {
      result = await work(transaction);
    } catch (error) {
      transaction.abort();
      throw error;
    }
    await transaction.commit();
    return result;
  }

  queues(): Promise<QueueStats[]> {
    return this.#overview(false, readQueues);
  }

  stats(): Promise<BrokerStats> {
    return this.#overview(true, readBroker);
  }

  async close(): Promise<void> {
    const core = this.#core;
    if (!core.open) return;
    core.poke((native) => native.close(core.clock.now()));
    core.end(new FerryError("Closed", "the broker was closed; open it anew"));
    if (!this.#keep) core.free();
  }

  [ASYNC_DISPOSE](): Promise<void> {
    return this.close();
  }

  #overview<T>(broker: boolean, read: (core: Core) => T): Promise<T> {
    const core = this.#core;
    return core.call((native) => native.overview(core.clock.now(), broker), read, undefined);
  }
}
