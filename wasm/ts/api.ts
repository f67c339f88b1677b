/// <reference lib="esnext.disposable" preserve="true" />
// The public interfaces. Times are milliseconds, message ids bigint; every promise settles, refusals are `FerryError`.

/** A JSON value. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json | undefined };

/**
 * A message's body: bytes as they are, text as UTF-8, everything else as JSON. Text and JSON set `contentType` unless it is given.
 * An object with `toJSON` counts as what that returns.
 */
export type Body = Uint8Array | ArrayBuffer | Json | object;

/** A header's value. Whole numbers beyond 2^53 come back as bigint. */
export type HeaderValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Date
  | Uint8Array
  | HeaderValue[]
  | { [name: string]: HeaderValue };

/** A message's headers. */
export type Headers = Record<string, HeaderValue>;

/** How safe a message is: in memory only, with the operating system, or covered by a sync. A broker in memory takes all three as `memory`. */
export type Durability = "memory" | "written" | "durable";

/** What a broker is opened with. */
export interface OpenOptions {
  /** The store's name. */
  readonly name?: string;
  /**
   * Node: the directory that queues are stored in. It is made if it is not there (the one above it must be). One process at a time has it open; it may be a program in Python or Rust the next time.
   */
  readonly path?: string | undefined;
  /** Where queues are kept: in memory, or in Node in a directory, as `path` says. Default: `"auto"`, which is memory unless there is a `path`. */
  readonly storage?: "auto" | "memory" | { readonly path: string } | undefined;
  /** How safe messages are where neither queue nor message says. Default: `"durable"`. */
  readonly durability?: Durability;
  /** Bytes of memory that messages may take; a produce beyond it is refused as on a full queue. Default: 512 MiB. */
  readonly memoryLimit?: number;
  /** The lease of queues that do not say, milliseconds. Default: 30 000. */
  readonly lease?: number;
  /** Where lines go that say what went wrong: `console`, say. Never a body. Default: nowhere. */
  readonly log?: Log | undefined;
}

/** Takes lines: a console, or something like it. What it throws is ignored. */
export interface Log {
  /** That a broker was opened or closed. */
  debug(line: string): void;
  /** What went wrong in a queue: the same of one queue at most once a second, with how often. */
  warn(line: string): void;
  /** A store that failed, or what a handler threw, which is the second argument. */
  error(line: string, error?: unknown): void;
}

/** What a broker's storage really is. */
export interface StorageInfo {
  readonly backend: "memory" | "files";
  /** How safe a confirmed message can be here. */
  readonly durability: Durability;
  /** Whether the platform promised not to evict it. */
  readonly persisted: boolean;
  /** Sentences on what was durable and could not be read when the store was opened: where, and which queues and messages it may be about. Everything else is served. */
  readonly damage: readonly string[];
}

/** How long a nacked message waits: `initial * factor^(attempt - 1)`, at most `max`, spread by `jitter`. */
export interface Backoff {
  /** After the first attempt, milliseconds. Default: 1000. */
  readonly initial?: number;
  /** How much longer each time, at least 1. Default: 2. */
  readonly factor?: number;
  /** Never longer than this, milliseconds. Default: 300 000. */
  readonly max?: number;
  /** The part of the wait by which it is spread evenly, 0 to 1. Default: 0.1. */
  readonly jitter?: number;
}

/** What is said of a queue. Declaring it again compares only what is passed. */
export interface QueueOptions {
  /** Most messages at once: ready, delayed and leased. `null`, the default: no limit. */
  readonly capacity?: number | bigint | null;
  /** Most bytes of bodies at once. `null`, the default: no limit. */
  readonly capacityBytes?: number | bigint | null;
  /** What a produce does that finds no room. Default: `"reject"`. */
  readonly overflow?: "reject" | "drop_oldest" | "block";
  /** How long a delivery is its consumer's, milliseconds. Default: 30 000. */
  readonly lease?: number;
  /** Dead-lettered after so many attempts; `null`: never. Default: 20. */
  readonly maxAttempts?: number | null;
  /** How long a nacked message waits; a number is that constant wait. */
  readonly backoff?: Backoff | number;
  /** Where dead letters go: a queue's name, an exchange and a key, or `false` to discard. `null`, the default: `<queue>.dead`. */
  readonly deadLetter?: string | null | false | readonly [exchange: string, key: string];
  /** How long a message may wait, milliseconds. `null`, the default: for ever. */
  readonly ttl?: number | null;
  /** How many priorities there are, 1 to 255. Default: 1. */
  readonly priorities?: number;
  /** At most one message of a key is out at a time. Default: false. */
  readonly orderedKeys?: boolean;
  /** Which push consumer gets the next message. Default: `"round_robin"`. */
  readonly dispatch?: "round_robin" | "random" | "least_loaded";
  /** Only the push consumer that was opened first gets messages, and after it the next. Default: false. */
  readonly singleActiveConsumer?: boolean;
  /** How long a message's `dedupId` is remembered after its acceptance, milliseconds. `null`, the default: not at all. */
  readonly dedupWindow?: number | null;
  /** Deleted when it was unused so long, milliseconds: nobody waited, consumed or declared. `null`, the default: never. */
  readonly expires?: number | null;
  /** Belongs to the broker that declares it, and is deleted when that is closed. Default: false. */
  readonly exclusive?: boolean;
  /** Deleted when its last consumer (`consumer`, `subscribe`) goes. Default: false. */
  readonly autoDelete?: boolean;
  /** How safe its messages are. `null`, the default: as the broker. */
  readonly durability?: Durability | null;
}

/** Ends a wait early: the promise rejects with the signal's reason, and no message is lost. */
export interface Abortable {
  readonly signal?: AbortSignal | undefined;
}

/** What a message carries beside its body. */
export interface MessageOptions {
  /** Groups messages for `orderedKeys`; at most 255 bytes. */
  readonly key?: string | undefined;
  /** Higher goes first; below the queue's `priorities`. Default: 0. */
  readonly priority?: number | undefined;
  /** Not delivered before it is over, milliseconds. */
  readonly delay?: number | undefined;
  /** Expires so long after acceptance, milliseconds. */
  readonly ttl?: number | undefined;
  /** Typed values; names and values together at most 64 KiB. `undefined` values are left out. */
  readonly headers?: { readonly [name: string]: unknown } | ReadonlyMap<string, unknown> | undefined;
  /**
   * Within the queue's `dedupWindow` a second message with the same id is not put on the queue; its produce gives the first one's id. At most 255
   * bytes.
   */
  readonly dedupId?: string | undefined;
  /** At most the queue's. */
  readonly durability?: Durability | undefined;
  readonly contentType?: string | undefined;
  readonly correlationId?: string | undefined;
  readonly replyTo?: string | undefined;
}

/** How a push consumer is served. An abort gives back what is reserved, and the iteration throws the signal's reason. */
export interface ConsumerOptions extends Abortable {
  /** Its credit: most messages that are reserved for it or in its hands, 1 to 65 535. Default: 100. */
  readonly prefetch?: number | undefined;
  /** Settled by being handed over. Default: false. */
  readonly autoAck?: boolean | undefined;
}

/** A push consumer: what is reserved for it is nobody else's, and yet no lease runs before it is handed out. */
export interface Consumer extends AsyncIterableIterator<Delivery, undefined> {
  /** Takes up to `max` messages of what is reserved, without waiting. */
  consumeMany(max: number): Promise<Delivery[]>;
  /** Gives back what is reserved, and ends the iteration. What it handed out stays with who has it. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** What a handler is told beside its message. */
export interface HandlerContext {
  /**
   * Aborted when nobody wants the result any more: the subscription's signal was aborted, its `stop` ran out of time, or the broker was
   * closed. A handler that then rejects gives its message back, uncounted.
   */
  readonly signal: AbortSignal;
}

/**
 * Runs for each message. Resolves: the message is acked. Rejects or throws: it is nacked, with the error as reason. A message that the handler has settled itself is left
 * alone. While it runs, the lease is renewed.
 */
export type Handler = (delivery: Delivery, context: HandlerContext) => unknown;

/** How a subscription runs. An abort stops it. */
export interface SubscribeOptions extends Abortable {
  /** Most handlers that run at once, 1 to 65 535. Default: 1. */
  readonly concurrency?: number | undefined;
}

/** How a subscription ends. */
export interface StopOptions {
  /** How long handlers that run have to finish, milliseconds; `null`: for ever. Default: 30 000. */
  readonly timeout?: number | null | undefined;
}

/** A handler at work. */
export interface Subscription {
  /**
   * Takes no further message and gives back what is reserved; waits for the handlers that run; those that are not done in time are aborted, and their messages given
   * back, uncounted. Resolves with whether all finished. Twice is once. Inside a handler do not wait for it: it waits for the handler.
   */
  stop(options?: StopOptions): Promise<boolean>;
  /** Resolves when it is over: `undefined` after `stop`, or the refusal that ended it, when its queue was deleted, say. Never rejects. */
  readonly ended: Promise<Error | undefined>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A request: what a message may carry, but for what brings the reply back. */
export interface RequestOptions extends Omit<MessageOptions, "correlationId" | "replyTo" | "delay">, Abortable {
  /** How long to wait for the reply, milliseconds, then `Unavailable`; `null`: for ever. The request expires then. Default: 30 000. */
  readonly timeout?: number | null | undefined;
}

/** A reply: what a message may carry, but for the id that finds its request. */
export type ReplyOptions = Omit<MessageOptions, "correlationId">;

/** What an event may carry beside its body. */
export type BusOptions = Omit<MessageOptions, "key">;

/** How a subscription of the bus runs. */
export interface BusSubscribeOptions extends SubscribeOptions {
  /**
   * A durable subscription: what is published while nobody is subscribed waits. Subscriptions of one name share its events. Without a name the subscription has each event for
   * itself, and ends with `stop`.
   */
  readonly name?: string | undefined;
}

/** What a listener of the bus is called with. `type` is the pattern that was listened to. */
export interface BusEvent extends Event {
  /** What it was published under. */
  readonly topic: string;
  readonly message: Message;
}

/** Hears events of the bus, as `addEventListener` takes it. */
export type BusListener = ((event: BusEvent) => unknown) | { handleEvent(event: BusEvent): unknown };

/**
 * Events by topic, words with dots between them. In a pattern `*` is one word, `#` none or more.
 *
 * ```ts
 * const bus = await broker.bus();
 * const sub = await bus.subscribe("order.*", (event) => console.log(event.key, event.json()), { name: "mailer" });
 * await bus.publish("order.paid", { id: 1 });
 * ```
 */
export interface EventBus extends EventTarget {
  /** Resolves with how many subscriptions it reached. */
  publish(topic: string, body: Body, options?: BusOptions): Promise<number>;
  /**
   * Runs the handler for each event whose topic matches. Each subscription has its own: what one handler throws touches no other, and its event comes back to it alone.
   * The topic is the delivery's `key`.
   */
  subscribe(pattern: string, handler: Handler, options?: BusSubscribeOptions): Promise<Subscription>;
  /**
   * The bus as the platform's EventTarget: the event's type is the pattern, so that `"order.*"` hears `order.paid`. A listener hears what is published after this call and settles
   * nothing: what it throws is reported as the platform does, and the event does not come back. A pattern that the engine refuses hears nothing, and the log says so.
   */
  addEventListener(pattern: string, listener: BusListener | null, options?: AddEventListenerOptions | boolean): void;
  removeEventListener(pattern: string, listener: BusListener | null, options?: EventListenerOptions | boolean): void;
}

/** Which condition of an alarm became true. */
export type AlarmCondition = "above" | "olderThan" | "deadLetters";

/** When an alarm calls. Of the conditions that are given, each calls by itself, for each queue by itself. */
export interface AlarmOptions {
  /** Which queue. Default: every one. */
  readonly queue?: string | undefined;
  /** The queue has more messages than this. */
  readonly above?: number | undefined;
  /** The oldest ready message is older than this, milliseconds. */
  readonly olderThan?: number | undefined;
  /** Messages were dead-lettered since the last look. */
  readonly deadLetters?: boolean | undefined;
  /** Ends it, as `cancel`. */
  readonly signal?: AbortSignal | undefined;
}

/** What an alarm calls with. */
export interface Alert {
  readonly queue: string;
  readonly condition: AlarmCondition;
  /** What was found: messages, milliseconds, or messages dead-lettered since the last look. */
  readonly value: number;
  /** What it went over. */
  readonly limit: number;
}

/** An alarm that is set. */
export interface Alarm {
  /** It calls no more. Twice is once. */
  cancel(): void;
}

/** How a produce waits where the queue says `overflow: "block"`. */
export interface ProduceWait extends Abortable {
  /** Milliseconds, then `QueueFull`. `null`, the default: for ever. */
  readonly timeout?: number | null | undefined;
}

export interface ProduceOptions extends MessageOptions, ProduceWait {}

export interface PublishOptions extends MessageOptions {
  /** `Unroutable` if no queue is reached. Default: false. */
  readonly mandatory?: boolean | undefined;
}

export interface ConsumeOptions extends Abortable {
  /** How long to wait for a message, milliseconds; `null`: for ever. Default: 0. */
  readonly timeout?: number | null | undefined;
  /** Settled by being handed over. Default: false. */
  readonly autoAck?: boolean | undefined;
}

/** A message of a batch with options of its own; made by `outgoing`. */
export interface Outgoing {
  readonly body: Body;
  readonly options: MessageOptions;
}

/** A queue in numbers. `size` is `ready + delayed + leased`, and `(head + size) % capacity === tail`. */
export interface QueueStats {
  readonly name: string;
  /** Waiting to be delivered. */
  readonly ready: number;
  /** Waiting for their time, held ones included. */
  readonly delayed: number;
  /** With a consumer. */
  readonly leased: number;
  /** To be dead-lettered, waiting for room there. */
  readonly held: number;
  /** Bytes of the bodies of all of them. */
  readonly bytes: number;
  readonly produced: number;
  readonly acked: number;
  readonly nacked: number;
  readonly rejected: number;
  readonly released: number;
  readonly expired: number;
  readonly deadLettered: number;
  /** Handed over again. */
  readonly redelivered: number;
  /** Pushed out by `drop_oldest`, or discarded because `deadLetter` is false. */
  readonly dropped: number;
  /** Of the oldest ready message, milliseconds; 0 when there is none. */
  readonly oldestAge: number;
  /** Removed so far, modulo capacity. */
  readonly head: number;
  /** Accepted so far, modulo capacity. */
  readonly tail: number;
  readonly size: number;
  /** `null`: no limit. Beyond 2^53 a bigint. */
  readonly capacity: number | bigint | null;
}

/** The broker in numbers. */
export interface BrokerStats {
  readonly queues: number;
  readonly exchanges: number;
  /** In all queues. */
  readonly messages: number;
  /** Bytes that messages take, as `memoryLimit` counts them. */
  readonly memory: number;
  readonly memoryLimit: number;
  /** Calls that wait. */
  readonly waiting: number;
}

/** A message as it is seen. */
export interface Message {
  /** Unique in the store, grows within a queue. */
  readonly id: bigint;
  /** The name of the queue it was taken from. */
  readonly queue: string;
  /** The body. A view that may share its buffer with other messages of a batch: `slice()` it before you change or transfer it. */
  bytes(): Uint8Array;
  /** The body as UTF-8. Throws `InvalidArgument` if it is not. */
  text(): string;
  /** The body as JSON. Throws `InvalidArgument` if it is not. */
  json<T = unknown>(): T;
  /** 1 the first time it is handed over; 0 when peeked before that. */
  readonly attempt: number;
  readonly headers: Headers;
  readonly key: string | undefined;
  readonly priority: number;
  /** When it was accepted, milliseconds since the Unix epoch. */
  readonly producedAt: number;
  /** Whether it had been handed over before. */
  readonly redelivered: boolean;
  readonly contentType: string | undefined;
  readonly correlationId: string | undefined;
  readonly replyTo: string | undefined;
}

/**
 * A message that is yours until its lease ends. Settle it once; after that, and after the lease, every verb rejects with `LeaseLost`.
 *
 * ```ts
 * const delivery = await orders.consume({ timeout: 1000 });
 * if (delivery) {
 *   try {
 *     await handle(delivery.json());
 *     await delivery.ack();
 *   } catch (error) {
 *     await delivery.nack({ reason: String(error) });
 *   }
 * }
 * ```
 */
export interface Delivery extends Message {
  /** 24 bytes that settle it too; none with `autoAck`. */
  readonly token: Uint8Array | undefined;
  /** Done with it. `durable`: wait for a sync that covers the ack. */
  ack(options?: { readonly durable?: boolean }): Promise<void>;
  /** Back later, counted as an attempt: after `delay`, or the queue's backoff. */
  nack(options?: { readonly delay?: number | undefined; readonly reason?: string | undefined }): Promise<void>;
  /** Dead-letter it now. */
  reject(options?: { readonly reason?: string | undefined }): Promise<void>;
  /** Back to its place, not counted. */
  release(): Promise<void>;
  /** The lease now ends `ms` from now, at most 12 hours after it began. */
  extend(ms: number): Promise<void>;
  /**
   * Answers the message, on the queue that it names in `replyTo`, with its correlation id; it is still to be settled. `InvalidArgument` without a `replyTo`, `NotFound` when
   * who asked is gone. Resolves with the reply's id.
   */
  reply(body: Body, options?: ReplyOptions): Promise<bigint>;
}

/** A queue. */
export interface Queue {
  readonly name: string;
  /**
   * Puts a message on the queue; resolves with its id once it is as safe as asked.
   *
   * ```ts
   * await orders.produce({ id: 1 }, { delay: 500, key: "a" });
   * ```
   */
  produce(body: Body, options?: ProduceOptions): Promise<bigint>;
  /**
   * Puts messages on the queue, all or none. An item is a body, or `outgoing(body, options)`.
   *
   * ```ts
   * await orders.produceMany([{ id: 1 }, outgoing({ id: 2 }, { priority: 3 })]);
   * ```
   */
  produceMany(items: Iterable<Body | Outgoing>, options?: ProduceWait): Promise<bigint[]>;
  /** Takes the next message; `undefined` when none is ready within `timeout`. */
  consume(options?: ConsumeOptions): Promise<Delivery | undefined>;
  /** Takes up to `max` messages; waits for the first only. */
  consumeMany(max: number, options?: ConsumeOptions): Promise<Delivery[]>;
  /** A push consumer: `for await (const delivery of queue.consumer())`. Throws `InvalidArgument`, `NotFound`, `Closed`. */
  consumer(options?: ConsumerOptions): Consumer;
  /**
   * Runs a handler for each message. Throws `InvalidArgument`, `NotFound`, `Closed`.
   *
   * ```ts
   * const sub = orders.subscribe(async (order, { signal }) => {
   *   await fetch("/ship", { method: "POST", body: order.text(), signal });
   * }, { concurrency: 4 });
   * // later: finishes what runs
   * await sub.stop();
   * ```
   */
  subscribe(handler: Handler, options?: SubscribeOptions): Subscription;
  /**
   * Sends a message and resolves with its reply, which whoever consumes it sends with `delivery.reply`. Rejects as `produce` does, and with `Unavailable` when none came in
   * time. The reply is nobody's to settle.
   *
   * ```ts
   * const answer = await sums.request([1, 2], { timeout: 1000 });
   * console.log(answer.json());
   * ```
   */
  request(body: Body, options?: RequestOptions): Promise<Message>;
  /** Acks what it can, then rejects with `LeaseLost`, whose `lost` lists the rest. */
  ackMany(deliveries: Iterable<Delivery | Uint8Array>): Promise<void>;
  /** As `delivery.ack`, by the token. */
  ack(token: Uint8Array, options?: { readonly durable?: boolean }): Promise<void>;
  /** As `delivery.nack`, by the token. */
  nack(
    token: Uint8Array,
    options?: { readonly delay?: number | undefined; readonly reason?: string | undefined },
  ): Promise<void>;
  /** As `delivery.reject`, by the token. */
  reject(token: Uint8Array, options?: { readonly reason?: string | undefined }): Promise<void>;
  /** As `delivery.release`, by the token. */
  release(token: Uint8Array): Promise<void>;
  /** As `delivery.extend`, by the token. */
  extend(token: Uint8Array, ms: number): Promise<void>;
  /** The next messages in the order in which they would come; changes nothing. Default: 1. */
  peek(max?: number): Promise<Message[]>;
  /** On a dead-letter queue: messages back to where they came from. Resolves with how many. */
  redrive(max?: number | null): Promise<number>;
  /** Changes options: all but `priorities`, `orderedKeys` and `exclusive`. */
  alter(options: QueueOptions): Promise<void>;
  /** Removes all that waits; resolves with how many. */
  purge(): Promise<number>;
  /** Removes the queue and all that is in it; resolves with how many. */
  delete(): Promise<number>;
  stats(): Promise<QueueStats>;
  /** Ready, delayed and leased. */
  size(): Promise<number>;
}

/** How an exchange routes: the key equals the pattern, every binding, words with `*` and `#`, or the message's headers. */
export type ExchangeKind = "direct" | "fanout" | "topic" | "headers";

/** What is said of an exchange beside its name. */
export interface ExchangeOptions {
  /** Left out, it is not compared; a new exchange is of kind `"topic"`. */
  readonly kind?: ExchangeKind;
  /** The name of the exchange that gets what no binding takes; it may be declared later. */
  readonly alternate?: string;
  /** `false`: `NotFound` if it does not exist. */
  readonly create?: boolean;
}

/** What a binding of a headers exchange asks for. */
export interface BindOptions {
  /** Names with the values that a message must carry, of the same kind; `null` for a name with any value. */
  readonly headers?: MessageOptions["headers"];
  /** All of them, the default, or at least one. */
  readonly match?: "all" | "any";
}

/** Routes messages to queues. */
export interface Exchange {
  readonly name: string;
  readonly kind: ExchangeKind;
  /** Leads messages to a queue, or on to another exchange: those whose key matches, or whose headers do. Twice is once. */
  bind(to: Queue | Exchange, pattern?: string, options?: BindOptions): Promise<void>;
  /** Takes a binding away; say what `bind` was told. `NotFound` if there is none. */
  unbind(to: Queue | Exchange, pattern?: string, options?: BindOptions): Promise<void>;
  /** One copy to every queue reached, all or none; resolves with how many queues. */
  publish(body: Body, options?: PublishOptions): Promise<number>;
  /** The same as `publish`. */
  produce(body: Body, options?: PublishOptions): Promise<number>;
  /** Removes the exchange, its bindings, and those that lead to it. */
  delete(): Promise<void>;
}

/** What is to be done together. Nothing is visible, reserved or counted before the commit. */
export interface Transaction {
  /** To a queue, or through an exchange. A transaction never waits: `overflow: "block"` acts as `"reject"` here. */
  produce(target: Queue, body: Body, options?: MessageOptions): void;
  produce(target: Exchange, body: Body, options?: PublishOptions): void;
  ack(delivery: Delivery | Uint8Array): void;
  /** After the commit, per call of the above: the message's id, the number of queues reached, or undefined for an ack. */
  readonly results: readonly (bigint | number | undefined)[];
}

/** An engine and its queues. */
export interface Broker {
  readonly storage: StorageInfo;
  /** Declares a queue, or finds it. `create: false`: `NotFound` if it does not exist. */
  queue(name: string, options?: QueueOptions & { readonly create?: boolean }): Promise<Queue>;
  /** Declares an exchange, or finds it. The name `""` is the default exchange, which leads to the queue that the key names. */
  exchange(name: string, options?: ExchangeOptions): Promise<Exchange>;
  /**
   * Runs `work` and commits what it put into the transaction, all or nothing; when `work` throws, nothing. Resolves with what `work` returned.
   *
   * ```ts
   * await broker.transaction((tx) => {
   *   tx.produce(invoices, { order: 1 });
   *   tx.ack(delivery);
   * });
   * ```
   */
  transaction<T>(work: (tx: Transaction) => T | Promise<T>): Promise<T>;
  /** The event bus of this broker: one, however often it is asked for. */
  bus(): Promise<EventBus>;
  /** All queues in numbers, by name. */
  queues(): Promise<QueueStats[]>;
  stats(): Promise<BrokerStats>;
  /** The broker and its queues in numbers, of one moment, as text for Prometheus. */
  metrics(): Promise<string>;
  /**
   * Calls `callback` once when a condition becomes true, again only after it was false. The broker is looked at ten times a second; in Node that keeps no process alive. What the
   * callback throws goes to the log. Throws `InvalidArgument`, `Closed`.
   */
  alarm(options: AlarmOptions, callback: (alert: Alert) => unknown): Alarm;
  /** Gives back what this broker holds. Whoever waits gets `Closed`, and so does every later call. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
