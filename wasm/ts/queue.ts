// A queue's verbs.

import type {
  Body,
  ConsumeOptions,
  Consumer,
  ConsumerOptions,
  Delivery,
  Handler,
  Message,
  Outgoing,
  ProduceOptions,
  ProduceWait,
  Queue,
  QueueOptions,
  QueueStats,
  ReplyOptions,
  RequestOptions,
  SubscribeOptions,
  Subscription,
} from "./api.js";
import { abortSignal, flag, integer, known, text, timeout } from "./checks.js";
import { ConsumerHandle } from "./consumer.js";
import type { Core } from "./core.js";
import { FerryError, invalid, shown } from "./errors.js";
import {
  ackBy,
  extendBy,
  nackBy,
  nothing,
  readDeliveries,
  readDelivery,
  readMessages,
  rejectBy,
  releaseBy,
  wordsOf,
  writeToken,
} from "./message.js";
import type { Native } from "./native/ferrymq_wasm.js";
import { queueOptions } from "./options.js";
import { Requests } from "./requests.js";
import { MESSAGE_OPTIONS, NO_NUMBERS, numbersOf, prepare, writeItem, writeProperties } from "./sending.js";
import { readStats } from "./stats.js";
import { SubscriptionHandle } from "./subscription.js";

const PRODUCE_OPTIONS: ReadonlySet<string> = new Set([...MESSAGE_OPTIONS, "timeout", "signal"]);
const REPLY_OPTIONS: ReadonlySet<string> = new Set(MESSAGE_OPTIONS.filter((name) => name !== "correlationId"));
const WAIT_OPTIONS: ReadonlySet<string> = new Set(["timeout", "signal"]);
const CONSUME_OPTIONS: ReadonlySet<string> = new Set(["timeout", "signal", "autoAck"]);
const BATCH_MAX = 2 ** 32 - 1;

const DELETE = 0;
const PURGE = 1;
const SIZE = 2;
const STATS = 3;
const PEEK = 4;
const REDRIVE = 5;

const DELIVERY_TOKEN_WORDS = 6;

export class QueueHandle implements Queue {
  readonly name: string;
  readonly core: Core;
  #place: number;
  #generation: number;
  #opening: number;

  constructor(core: Core, name: string, place: number, generation: number) {
    this.core = core;
    this.name = name;
    this.#place = place;
    this.#generation = generation;
    this.#opening = core.opening;
  }

  /** Declares a queue, or finds it. */
  static declare(
    core: Core,
    name: string,
    options: (QueueOptions & { readonly create?: boolean }) | undefined,
  ): Promise<QueueHandle> {
    return core.call(
      (native) => {
        text("the queue's name", name);
        const create = options?.create === undefined ? true : flag("create", options.create);
        const passed = queueOptions("queue", options);
        return core.written(
          (writer) => writer.text(name),
          (length) => native.declare_queue(core.clock.now(), length, create, passed),
        );
      },
      (core) => new QueueHandle(core, name, core.place(), core.generation()),
      undefined,
    );
  }

  /** Its place in the engine; looked up again after the engine was opened anew. Read before `generation`. */
  get place(): number {
    if (this.#opening !== this.core.opening) this.#find();
    return this.#place;
  }

  get generation(): number {
    return this.#generation;
  }

  produce(body: Body, options?: ProduceOptions): Promise<bigint> {
    const { core } = this;
    let signal: AbortSignal | undefined;
    try {
      signal = options === undefined || options === null ? undefined : abortSignal(options.signal);
    } catch (error) {
      return Promise.reject(error);
    }
    const waits = signal === undefined ? undefined : { signal };
    return core.call((native) => this.#produce(native, body, options), readId, undefined, waits);
  }

  #produce(native: Native, body: unknown, options: ProduceOptions | undefined): number {
    const { core, place } = this;
    if (options === undefined && body instanceof Uint8Array) {
      // The way of most messages: nothing but bytes.
      core.load(undefined, body);
      const forever = Number.POSITIVE_INFINITY;
      return native.produce(
        core.clock.now(),
        place,
        this.#generation,
        0,
        body.length,
        0,
        Number.NaN,
        Number.NaN,
        forever,
      );
    }
    const passed = known<ProduceOptions>("produce", options, PRODUCE_OPTIONS);
    const wait = timeout(passed.timeout, Number.POSITIVE_INFINITY);
    const { level, delay, ttl } = options === undefined ? NO_NUMBERS : numbersOf(passed);
    const { kind, content } = prepare(body);
    const writer = core.writer();
    try {
      const properties = writeProperties(writer, kind, passed);
      let length = content.length;
      if (typeof content === "string") {
        writer.letters(content);
        length = writer.length - properties;
        core.load(writer);
      } else {
        core.load(writer, content);
      }
      return native.produce(core.clock.now(), place, this.#generation, properties, length, level, delay, ttl, wait);
    } finally {
      core.done(writer);
    }
  }

  produceMany(items: Iterable<Body | Outgoing>, options?: ProduceWait): Promise<bigint[]> {
    const { core } = this;
    return this.#waiting(
      "produceMany",
      options,
      WAIT_OPTIONS,
      Number.POSITIVE_INFINITY,
      (native, wait) => {
        const { place } = this;
        const writer = core.writer();
        let count = 0;
        try {
          for (const item of iterable("items", items)) {
            writeItem(writer, item);
            count += 1;
          }
          core.load(writer);
          return native.produce_many(core.clock.now(), place, this.#generation, writer.length, count, wait);
        } finally {
          core.done(writer);
        }
      },
      readIds,
    );
  }

  consume(options?: ConsumeOptions): Promise<Delivery | undefined> {
    const { core } = this;
    if (options === undefined) {
      return core.call(
        (native) => native.consume(core.clock.now(), this.place, this.#generation, false, 0),
        readDelivery,
        this,
      );
    }
    return this.#waiting(
      "consume",
      options,
      CONSUME_OPTIONS,
      0,
      (native, wait) => {
        const autoAck = flag("autoAck", options?.autoAck);
        return native.consume(core.clock.now(), this.place, this.#generation, autoAck, wait);
      },
      readDelivery,
    );
  }

  consumeMany(max: number, options?: ConsumeOptions): Promise<Delivery[]> {
    const { core } = this;
    return this.#waiting(
      "consumeMany",
      options,
      CONSUME_OPTIONS,
      0,
      (native, wait) => {
        integer("max", max, 1, BATCH_MAX);
        const autoAck = flag("autoAck", options?.autoAck);
        return native.consume_many(core.clock.now(), this.place, this.#generation, max, autoAck, wait);
      },
      readDeliveries,
    );
  }

  consumer(options?: ConsumerOptions): Consumer {
    return new ConsumerHandle(this, options);
  }

  subscribe(handler: Handler, options?: SubscribeOptions): Subscription {
    return new SubscriptionHandle(this, handler, options);
  }

  request(body: Body, options?: RequestOptions): Promise<Message> {
    const { core } = this;
    core.requests ??= new Requests(core, (name, options) => QueueHandle.declare(core, name, options));
    return core.requests.ask(this, body, options);
  }

  /** Answers a message on the queue that it names. */
  async reply(to: Message, body: Body, options: ReplyOptions | undefined): Promise<bigint> {
    const { replyTo, correlationId } = to;
    if (replyTo === undefined) {
      throw invalid(
        "the message has no replyTo: nobody waits for a reply; send it with queue.request(), or name a queue in replyTo",
      );
    }
    const passed = known<ReplyOptions>("reply", options, REPLY_OPTIONS);
    const queue = await QueueHandle.declare(this.core, replyTo, { create: false });
    return queue.produce(body, { ...passed, correlationId });
  }

  /** The next message, settled, whenever it comes. */
  listen(): Promise<Delivery | undefined> {
    const { core } = this;
    const forever = Number.POSITIVE_INFINITY;
    return core.call(
      (native) => native.consume(core.clock.now(), this.place, this.#generation, true, forever),
      readDelivery,
      this,
      { background: true },
    );
  }

  ackMany(deliveries: Iterable<Delivery | Uint8Array>): Promise<void> {
    const { core } = this;
    let all: (Delivery | Uint8Array)[] = [];
    return core.call(
      (native) => {
        all = [...iterable("deliveries", deliveries)];
        return core.written(
          (writer) => {
            for (const delivery of all) writeToken(writer, delivery);
          },
          () => native.ack_many(core.clock.now(), all.length),
        );
      },
      (core) => refuseLost(core, all),
      undefined,
    );
  }

  ack(token: Uint8Array, options?: { readonly durable?: boolean }): Promise<void> {
    return ackBy(this.core, () => wordsOf(token), options);
  }

  nack(
    token: Uint8Array,
    options?: { readonly delay?: number | undefined; readonly reason?: string | undefined },
  ): Promise<void> {
    return nackBy(this.core, () => wordsOf(token), options);
  }

  reject(token: Uint8Array, options?: { readonly reason?: string | undefined }): Promise<void> {
    return rejectBy(this.core, () => wordsOf(token), options);
  }

  release(token: Uint8Array): Promise<void> {
    return releaseBy(this.core, () => wordsOf(token));
  }

  extend(token: Uint8Array, ms: number): Promise<void> {
    return extendBy(this.core, () => wordsOf(token), ms);
  }

  peek(max = 1): Promise<Message[]> {
    return this.#verb(PEEK, () => integer("max", max, 0, BATCH_MAX), readMessages);
  }

  redrive(max?: number | null): Promise<number> {
    const limit = () =>
      max === undefined || max === null ? Number.NaN : integer("max", max, 0, Number.MAX_SAFE_INTEGER);
    return this.#verb(REDRIVE, limit, readCount);
  }

  alter(options: QueueOptions): Promise<void> {
    const { core } = this;
    return core.call(
      (native) => {
        const { place } = this;
        return native.alter_queue(core.clock.now(), place, this.#generation, queueOptions("alter", options));
      },
      nothing,
      undefined,
    );
  }

  purge(): Promise<number> {
    return this.#verb(PURGE, none, readCount);
  }

  delete(): Promise<number> {
    return this.#verb(DELETE, none, readCount);
  }

  size(): Promise<number> {
    return this.#verb(SIZE, none, readCount);
  }

  stats(): Promise<QueueStats> {
    return this.#verb(STATS, none, readStats<QueueStats>);
  }

  #verb<T>(verb: number, max: () => number, read: (core: Core, source: QueueHandle) => T): Promise<T> {
    const { core } = this;
    return core.call(
      (native) => {
        const limit = max();
        return native.queue_verb(core.clock.now(), verb, this.place, this.#generation, limit);
      },
      read,
      this,
    );
  }

  /** A call that may wait: checks what says how long. */
  #waiting<T>(
    what: string,
    options: ProduceWait | ConsumeOptions | undefined,
    names: ReadonlySet<string>,
    byDefault: number,
    enter: (native: Native, wait: number) => number,
    read: (core: Core, source: QueueHandle) => T,
  ): Promise<T> {
    let wait: number;
    let signal: AbortSignal | undefined;
    try {
      const passed = known<ProduceWait>(what, options, names);
      wait = timeout(passed.timeout, byDefault);
      signal = abortSignal(passed.signal);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.core.call((native) => enter(native, wait), read, this, { signal });
  }

  #find(): void {
    const { core, name } = this;
    const id = core.ask(
      (native) =>
        core.written(
          (writer) => writer.text(name),
          (length) => native.declare_queue(core.clock.now(), length, false, {}),
        ),
      (core) => ({ place: core.place(), generation: core.generation() }),
    );
    this.#place = id.place;
    this.#generation = id.generation;
    this.#opening = core.opening;
  }
}

/** A queue of this broker. Throws `InvalidArgument` for anything else. */
export function ownQueue(core: Core, queue: unknown): QueueHandle {
  if (queue instanceof QueueHandle && queue.core === core) return queue;
  throw invalid(`the queue is ${shown(queue)} or another broker's; pass a Queue of this broker`);
}

function none(): number {
  return Number.NaN;
}

function iterable<T>(name: string, value: Iterable<T>): Iterable<T> {
  const isOne =
    typeof value === "object" &&
    value !== null &&
    typeof value[Symbol.iterator] === "function" &&
    !ArrayBuffer.isView(value);
  if (!isOne) throw invalid(`${name} is ${shown(value)}; pass an array or another iterable`);
  return value;
}

function readId(core: Core): bigint {
  return core.long();
}

/** A count, always far below 2^53. */
export function readCount(core: Core): number {
  return Number(core.long());
}

function readIds(core: Core): bigint[] {
  return Array.from(new BigUint64Array(core.bytes().buffer));
}

/** Throws `LeaseLost` with those of `all` whose tokens the engine gave back as lost. */
function refuseLost(core: Core, all: readonly (Delivery | Uint8Array)[]): void {
  const count = core.count();
  if (count === 0) return;
  const words = new Uint32Array(core.bytes().buffer);
  const lost: (Delivery | Uint8Array)[] = [];
  // Backwards: of a delivery that was passed twice, it is the later one that was lost.
  let left = count - 1;
  for (let i = all.length - 1; i >= 0 && left >= 0; i--) {
    const delivery = all[i] as Delivery | Uint8Array;
    const at = left * DELIVERY_TOKEN_WORDS;
    if (wordsOf(delivery).every((word, place) => word === words[at + place])) {
      lost.unshift(delivery);
      left -= 1;
    }
  }
  throw new FerryError(
    "LeaseLost",
    `${count} of ${all.length} deliveries were no longer yours; the others are acked. Drop the work of those in error.lost: someone else may have it`,
    { lost },
  );
}
