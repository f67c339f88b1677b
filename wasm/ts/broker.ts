// The broker's verbs.

import { Alarms } from "./alarms.js";
import type {
  Alarm,
  AlarmOptions,
  Alert,
  Broker,
  BrokerStats,
  EventBus,
  Exchange,
  ExchangeOptions,
  Queue,
  QueueOptions,
  QueueStats,
  StorageInfo,
  Transaction,
} from "./api.js";
import { EventBusHandle } from "./bus.js";
import { flag, known, text } from "./checks.js";
import type { Core } from "./core.js";
import { ASYNC_DISPOSE } from "./disposal.js";
import { FerryError, invalid, shown } from "./errors.js";
import { ExchangeHandle } from "./exchange.js";
import { QueueHandle } from "./queue.js";
import { readStats } from "./stats.js";
import { TransactionList } from "./transaction.js";

const EXCHANGE_OPTIONS: ReadonlySet<string> = new Set(["kind", "alternate", "create"]);

/** A store under a broker. */
export interface Settling {
  /** Makes everything safe that was accepted, and lets the store go. Never rejects. */
  settle(): Promise<void>;
}

export class BrokerHandle implements Broker {
  readonly storage: StorageInfo;
  readonly #core: Core;
  readonly #keep: boolean;
  readonly #store: Settling | undefined;
  #ending: Promise<void> | undefined;
  #bus: Promise<EventBus> | undefined;

  /** `keep`: the engine's memory stays after a close, for a test that opens it anew. `store`: what is to be brought to an end before. */
  constructor(core: Core, storage: StorageInfo, keep: boolean, store?: Settling) {
    this.#core = core;
    this.#store = store;
    this.storage = Object.freeze(storage);
    this.#keep = keep;
  }

  queue(name: string, options?: QueueOptions & { readonly create?: boolean }): Promise<Queue> {
    return QueueHandle.declare(this.#core, name, options);
  }

  exchange(name: string, options?: ExchangeOptions): Promise<Exchange> {
    try {
      text("the exchange's name", name);
      const passed = known<ExchangeOptions>("exchange", options, EXCHANGE_OPTIONS);
      const create = passed.create === undefined ? true : flag("create", passed.create);
      return ExchangeHandle.declare(this.#core, name, { ...passed, create });
    } catch (error) {
      return Promise.reject(error);
    }
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
    return this.#overview(false);
  }

  stats(): Promise<BrokerStats> {
    return this.#overview(true);
  }

  metrics(): Promise<string> {
    const core = this.#core;
    return core.call((native) => native.metrics(core.clock.now()), readText, undefined);
  }

  bus(): Promise<EventBus> {
    this.#bus ??= EventBusHandle.open(this.#core).catch((error) => {
      this.#bus = undefined;
      throw error;
    });
    return this.#bus;
  }

  alarm(options: AlarmOptions, callback: (alert: Alert) => unknown): Alarm {
    const core = this.#core;
    core.alarms ??= new Alarms(core);
    return core.alarms.set(options, callback);
  }

  async close(): Promise<void> {
    const core = this.#core;
    if (!core.open) return this.#ending;
    const reason = new FerryError("Closed", "the broker was closed; open it anew");
    if (this.#store === undefined) {
      core.poke((native) => native.close(core.clock.now()));
      this.#end(reason);
    } else {
      core.poke((native) => native.close_session(core.clock.now()));
      core.refuse(reason);
      this.#ending = this.#store.settle().finally(() => this.#end(reason));
      await this.#ending;
    }
  }

  #end(reason: FerryError): void {
    const core = this.#core;
    core.end(reason);
    core.log.debug("broker closed");
    if (!this.#keep) core.free();
  }

  [ASYNC_DISPOSE](): Promise<void> {
    return this.close();
  }

  #overview<T>(broker: boolean): Promise<T> {
    const core = this.#core;
    return core.call((native) => native.overview(core.clock.now(), broker), readStats<T>, undefined);
  }
}

function readText(core: Core): string {
  return new TextDecoder().decode(core.bytes());
}
