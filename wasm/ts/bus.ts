// The event bus: one topic exchange, and a queue for each subscription. Python's bus has the same names, so that both may be the ends of one.

import type {
  Body,
  BusOptions,
  BusSubscribeOptions,
  EventBus,
  Handler,
  Message,
  QueueOptions,
  StopOptions,
  Subscription,
} from "./api.js";
import { known, optionalText, text } from "./checks.js";
import type { Core } from "./core.js";
import { ASYNC_DISPOSE } from "./disposal.js";
import type { FerryError } from "./errors.js";
import { BusEvent } from "./event.js";
import { ExchangeHandle } from "./exchange.js";
import { Listeners } from "./listeners.js";
import { QueueHandle } from "./queue.js";
import { randomName } from "./random.js";
import { MESSAGE_OPTIONS } from "./sending.js";
import { SubscriptionHandle } from "./subscription.js";

const EXCHANGE = "ferrymq.bus";
const DURABLE = "ferrymq.bus.";
const TRANSIENT = "ferrymq.bus.transient.";
/** What a transient subscription's queue is: it ends with the subscription, and what it holds with it. */
const TRANSIENT_OPTIONS: QueueOptions = { durability: "memory", deadLetter: false, exclusive: true };

const PUBLISH_OPTIONS: ReadonlySet<string> = new Set(MESSAGE_OPTIONS.filter((name) => name !== "key"));
const SUBSCRIBE_OPTIONS: ReadonlySet<string> = new Set(["name", "concurrency", "signal"]);

type AnyListener = EventListenerOrEventListenerObject | null;

export class EventBusHandle extends EventTarget implements EventBus {
  readonly #core: Core;
  readonly #exchange: ExchangeHandle;
  readonly #listeners: Listeners;
  /** Subscriptions that are being made: what is published after a call of `subscribe` reaches it. */
  readonly #opening = new Set<Promise<unknown>>();

  private constructor(core: Core, exchange: ExchangeHandle) {
    super();
    this.#core = core;
    this.#exchange = exchange;
    this.#listeners = new Listeners(
      (pattern) => this.#subscribe(pattern, (message) => this.#dispatch(pattern, message), undefined, {}),
      (error) => core.log.error("listening on the bus failed", error),
    );
  }

  static async open(core: Core): Promise<EventBusHandle> {
    return new EventBusHandle(core, await ExchangeHandle.declare(core, EXCHANGE, { kind: "topic" }));
  }

  async publish(topic: string, body: Body, options?: BusOptions): Promise<number> {
    const passed = known<BusOptions>("publish", options, PUBLISH_OPTIONS);
    text("the topic", topic);
    if (this.#opening.size > 0) await Promise.allSettled(this.#opening);
    return this.#exchange.publish(body, { ...passed, key: topic });
  }

  async subscribe(pattern: string, handler: Handler, options?: BusSubscribeOptions): Promise<Subscription> {
    const passed = known<BusSubscribeOptions>("subscribe", options, SUBSCRIBE_OPTIONS);
    const { name, ...how } = passed;
    return this.#subscribe(pattern, handler, optionalText("name", name), how);
  }

  override addEventListener(pattern: string, listener: AnyListener, options?: AddEventListenerOptions | boolean): void {
    text("the pattern", pattern);
    super.addEventListener(pattern, listener, options);
    if (listener !== null) this.#making(this.#listeners.add(pattern, listener, options));
  }

  override removeEventListener(pattern: string, listener: AnyListener, options?: EventListenerOptions | boolean): void {
    super.removeEventListener(pattern, listener, options);
    if (listener !== null) this.#listeners.remove(pattern, listener, options);
  }

  #dispatch(pattern: string, message: Message): void {
    const event = new BusEvent(pattern, message.key ?? "", message);
    this.#listeners.hear(pattern, () => this.dispatchEvent(event));
  }

  #subscribe(
    pattern: string,
    handler: Handler,
    name: string | undefined,
    how: { concurrency?: number | undefined; signal?: AbortSignal | undefined },
  ): Promise<BusSubscription> {
    return this.#making(BusSubscription.open(this.#core, this.#exchange, pattern, handler, name, how));
  }

  #making<T>(promise: Promise<T>): Promise<T> {
    this.#opening.add(promise);
    const done = () => {
      this.#opening.delete(promise);
    };
    promise.then(done, done);
    return promise;
  }
}

class BusSubscription implements Subscription {
  readonly #inner: SubscriptionHandle;
  /** `undefined`: it outlives its subscriptions. */
  readonly #transient: QueueHandle | undefined;

  private constructor(inner: SubscriptionHandle, transient: QueueHandle | undefined) {
    this.#inner = inner;
    this.#transient = transient;
    // However it ends, and before it may be opened anew.
    if (transient !== undefined) inner.ended.then(() => this.#drop());
  }

  static async open(
    core: Core,
    exchange: ExchangeHandle,
    pattern: string,
    handler: Handler,
    name: string | undefined,
    how: { concurrency?: number | undefined; signal?: AbortSignal | undefined },
  ): Promise<BusSubscription> {
    const queue =
      name === undefined
        ? await QueueHandle.declare(core, randomName(TRANSIENT), TRANSIENT_OPTIONS)
        : await QueueHandle.declare(core, DURABLE + name, undefined);
    const transient = name === undefined ? queue : undefined;
    try {
      await exchange.bind(queue, pattern);
      return new BusSubscription(new SubscriptionHandle(queue, handler, how), transient);
    } catch (error) {
      await transient?.delete().catch(() => undefined);
      throw error;
    }
  }

  get ended(): Promise<FerryError | undefined> {
    return this.#inner.ended;
  }

  async stop(options?: StopOptions): Promise<boolean> {
    const finished = await this.#inner.stop(options);
    await this.#drop();
    return finished;
  }

  async [ASYNC_DISPOSE](): Promise<void> {
    await this.stop();
  }

  async #drop(): Promise<void> {
    // Gone already, or the broker is.
    await this.#transient?.delete().catch(() => undefined);
  }
}
