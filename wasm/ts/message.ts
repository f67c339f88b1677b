// A message on its way out: words and bytes copied from the engine, read when asked.

import type { Body, Delivery, Headers, Message, ReplyOptions } from "./api.js";
import { duration, flag, known, optionalDuration } from "./checks.js";
import { type Core, RECORD_WORDS } from "./core.js";
import { FerryError, invalid, shown } from "./errors.js";
import { type Properties, readProperties } from "./headers.js";
import type { Writer } from "./writer.js";

// Places in the record; see registers.rs.
const ID = 0;
const PRODUCED_AT = 2;
const ATTEMPT = 6;
const FLAGS = 7;
const TOKEN = 8;
const BODY_LENGTH = 14;
const PROPERTIES_LENGTH = 15;
const PRIORITY_MASK = 0xff;
const REDELIVERED = 1 << 8;
const HAS_TOKEN = 1 << 9;
const TOKEN_WORDS = 6;
const TOKEN_BYTES = 24;

const NACK = 0;
const REJECT = 1;
const RELEASE = 2;
const EXTEND = 3;
const KEEP = 4;

// For numbers of 64 bits, which the record has as two words.
const PAIR = new Uint32Array(2);
const PAIR_LONG = new BigUint64Array(PAIR.buffer);
const PAIR_FLOAT = new Float64Array(PAIR.buffer);

const TEXT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const ACK_OPTIONS: ReadonlySet<string> = new Set(["durable"]);
const NACK_OPTIONS: ReadonlySet<string> = new Set(["delay", "reason"]);
const REJECT_OPTIONS: ReadonlySet<string> = new Set(["reason"]);

/** Who a message was taken from. */
export interface Source {
  readonly name: string;
  readonly core: Core;
  /** Answers a message. */
  reply(to: Message, body: Body, options: ReplyOptions | undefined): Promise<bigint>;
}

export class TakenMessage implements Message {
  readonly #source: Source;
  readonly #words: Uint32Array;
  readonly #at: number;
  readonly #data: Uint8Array;
  readonly #from: number;
  #properties: Properties | undefined;

  /** `words` from `at` are its record; `data` from `from` are its properties and its body. */
  constructor(source: Source, words: Uint32Array, at: number, data: Uint8Array, from: number) {
    this.#source = source;
    this.#words = words;
    this.#at = at;
    this.#data = data;
    this.#from = from;
  }

  get id(): bigint {
    PAIR[0] = this.#word(ID);
    PAIR[1] = this.#word(ID + 1);
    return PAIR_LONG[0] as bigint;
  }

  get queue(): string {
    return this.#source.name;
  }

  get attempt(): number {
    return this.#word(ATTEMPT);
  }

  get priority(): number {
    return this.#word(FLAGS) & PRIORITY_MASK;
  }

  get redelivered(): boolean {
    return (this.#word(FLAGS) & REDELIVERED) !== 0;
  }

  get producedAt(): number {
    PAIR[0] = this.#word(PRODUCED_AT);
    PAIR[1] = this.#word(PRODUCED_AT + 1);
    return PAIR_FLOAT[0] as number;
  }

  get headers(): Headers {
    return this.#carried().headers;
  }

  get key(): string | undefined {
    return this.#carried().key;
  }

  get contentType(): string | undefined {
    return this.#carried().contentType;
  }

  get correlationId(): string | undefined {
    return this.#carried().correlationId;
  }

  get replyTo(): string | undefined {
    return this.#carried().replyTo;
  }

  bytes(): Uint8Array {
    const from = this.#from + this.#word(PROPERTIES_LENGTH);
    const length = this.#word(BODY_LENGTH);
    return length === this.#data.length ? this.#data : this.#data.subarray(from, from + length);
  }

  text(): string {
    try {
      return TEXT.decode(this.bytes());
    } catch (error) {
      throw invalid("the body is not UTF-8; read it with bytes()", error);
    }
  }

  json<T = unknown>(): T {
    const text = this.text();
    try {
      return JSON.parse(text) as T;
    } catch (error) {
      throw invalid("the body is not JSON; read it with text() or bytes()", error);
    }
  }

  #carried(): Properties {
    if (this.#properties === undefined) {
      const length = this.#word(PROPERTIES_LENGTH);
      this.#properties = readProperties(this.#data.subarray(this.#from, this.#from + length));
    }
    return this.#properties;
  }

  #word(place: number): number {
    return this.#words[this.#at + place] as number;
  }

  /** What a delivery needs to settle itself. */
  protected tokenWord(place: number): number {
    return this.#word(TOKEN + place);
  }

  protected copyToken(writer: Writer): void {
    writer.words(this.#words, this.#at + TOKEN, TOKEN_WORDS);
  }

  protected get hasToken(): boolean {
    return (this.#word(FLAGS) & HAS_TOKEN) !== 0;
  }

  protected get source(): Source {
    return this.#source;
  }
}

export class TakenDelivery extends TakenMessage implements Delivery {
  /** Whether a verb that settles it was called. */
  settled = false;

  get token(): Uint8Array | undefined {
    return this.hasToken ? tokenBytes(this.words()) : undefined;
  }

  ack(options?: { readonly durable?: boolean }): Promise<void> {
    const { core } = this.source;
    this.settled = true;
    return core.call(
      (native) => {
        this.#settleable();
        const durable = options === undefined ? false : flag("durable", known("ack", options, ACK_OPTIONS).durable);
        return native.ack(
          core.clock.now(),
          this.tokenWord(0),
          this.tokenWord(1),
          this.tokenWord(2),
          this.tokenWord(3),
          this.tokenWord(4),
          this.tokenWord(5),
          durable,
        );
      },
      nothing,
      undefined,
    );
  }

  nack(options?: { readonly delay?: number | undefined; readonly reason?: string | undefined }): Promise<void> {
    this.settled = true;
    return nackBy(this.source.core, () => this.words(), options);
  }

  reject(options?: { readonly reason?: string | undefined }): Promise<void> {
    this.settled = true;
    return rejectBy(this.source.core, () => this.words(), options);
  }

  release(): Promise<void> {
    this.settled = true;
    return releaseBy(this.source.core, () => this.words());
  }

  extend(ms: number): Promise<void> {
    return extendBy(this.source.core, () => this.words(), ms);
  }

  reply(body: Body, options?: ReplyOptions): Promise<bigint> {
    return this.source.reply(this, body, options);
  }

  /** @internal Has the lease renewed by itself, or not any more: what a handler begins with. */
  keep(kept: boolean): Promise<void> {
    const { core } = this.source;
    return core.call(
      (native) =>
        core.written(
          (writer) => this.writeToken(writer),
          () => native.settle(core.clock.now(), KEEP, kept ? 1 : 0, -1),
        ),
      nothing,
      undefined,
    );
  }

  /** Writes the token's words. Throws when there is none. */
  writeToken(writer: Writer): void {
    this.#settleable();
    this.copyToken(writer);
  }

  /** The token as words. Throws when there is none. */
  words(): number[] {
    this.#settleable();
    return Array.from({ length: TOKEN_WORDS }, (_, place) => this.tokenWord(place));
  }

  #settleable(): void {
    if (!this.hasToken) {
      throw new FerryError(
        "LeaseLost",
        "the message was acked when it was handed over (autoAck); there is nothing left to settle",
      );
    }
  }
}

/** A token's words as the 24 bytes that every language knows: words big-endian, in order. */
function tokenBytes(words: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(TOKEN_BYTES);
  const view = new DataView(bytes.buffer);
  words.forEach((word, place) => {
    view.setUint32(place * 4, word);
  });
  return bytes;
}

/** Writes the token of a delivery, or a token's bytes, as words. Throws `InvalidArgument` for anything else. */
export function writeToken(writer: Writer, delivery: unknown): void {
  if (delivery instanceof TakenDelivery) delivery.writeToken(writer);
  else for (const word of wordsOf(delivery)) writer.word(word);
}

/** The words of a delivery or of a token's bytes. Throws `InvalidArgument` for anything else. */
export function wordsOf(delivery: unknown): number[] {
  if (delivery instanceof TakenDelivery) return delivery.words();
  if (!(delivery instanceof Uint8Array)) {
    throw invalid(`the delivery is ${shown(delivery)}; pass a Delivery, or its token`);
  }
  if (delivery.length !== TOKEN_BYTES) {
    throw invalid(`a token has ${TOKEN_BYTES} bytes, this has ${delivery.length}; pass delivery.token as it was given`);
  }
  const view = new DataView(delivery.buffer, delivery.byteOffset, TOKEN_BYTES);
  return Array.from({ length: TOKEN_WORDS }, (_, place) => view.getUint32(place * 4));
}

type Words = () => readonly number[];

export function ackBy(core: Core, words: Words, options: { readonly durable?: boolean } | undefined): Promise<void> {
  return core.call(
    (native) => {
      const durable = flag("durable", known("ack", options, ACK_OPTIONS).durable);
      const [epoch = 0, lease = 0, d1 = 0, d0 = 0, m1 = 0, m0 = 0] = words();
      return native.ack(core.clock.now(), epoch, lease, d1, d0, m1, m0, durable);
    },
    nothing,
    undefined,
  );
}

export function nackBy(
  core: Core,
  words: Words,
  options: { readonly delay?: number | undefined; readonly reason?: string | undefined } | undefined,
): Promise<void> {
  return settle(core, NACK, words, () => {
    const { delay, reason } = known("nack", options, NACK_OPTIONS);
    return { ms: delay === null ? Number.NaN : optionalDuration("delay", delay), reason };
  });
}

export function rejectBy(
  core: Core,
  words: Words,
  options: { readonly reason?: string | undefined } | undefined,
): Promise<void> {
  return settle(core, REJECT, words, () => {
    return { ms: Number.NaN, reason: known("reject", options, REJECT_OPTIONS).reason };
  });
}

export function releaseBy(core: Core, words: Words): Promise<void> {
  return settle(core, RELEASE, words, () => ({ ms: Number.NaN, reason: undefined }));
}

export function extendBy(core: Core, words: Words, ms: number): Promise<void> {
  return settle(core, EXTEND, words, () => ({ ms: duration("the extension", ms), reason: undefined }));
}

function settle(
  core: Core,
  verb: number,
  words: Words,
  how: () => { ms: number; reason: string | undefined },
): Promise<void> {
  return core.call(
    (native) => {
      const { ms, reason: given } = how();
      const reason = reasonText(given);
      const writer = core.writer();
      try {
        for (const word of words()) writer.word(word);
        if (reason !== undefined) writer.letters(reason);
        core.load(writer);
        const length = reason === undefined ? -1 : writer.length - TOKEN_BYTES;
        return native.settle(core.clock.now(), verb, ms, length);
      } finally {
        core.done(writer);
      }
    },
    nothing,
    undefined,
  );
}

/** An error's text must never refuse a settlement: half a surrogate pair is replaced, and the engine cuts what is too long. */
function reasonText(value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string") throw invalid(`reason is ${shown(value)}; pass a string, such as String(error)`);
  return value;
}

/** For calls that answer nothing. */
export function nothing(): void {}

/** What a consume answered. */
export function readDelivery(core: Core, source: Source): Delivery | undefined {
  return core.count() === 0 ? undefined : new TakenDelivery(source, core.record(), 0, core.bytes(), 0);
}

/** What a batch consume answered. */
export function readDeliveries(core: Core, source: Source): Delivery[] {
  return readBatch(core, source, TakenDelivery);
}

/** What a peek answered. */
export function readMessages(core: Core, source: Source): Message[] {
  return readBatch(core, source, TakenMessage);
}

function readBatch<M>(
  core: Core,
  source: Source,
  Taken: new (source: Source, words: Uint32Array, at: number, data: Uint8Array, from: number) => M,
): M[] {
  const count = core.count();
  if (count === 0) return [];
  const data = core.bytes();
  const words = core.records();
  const taken: M[] = [];
  let from = 0;
  for (let at = 0; at < words.length; at += RECORD_WORDS) {
    taken.push(new Taken(source, words, at, data, from));
    from += (words[at + BODY_LENGTH] as number) + (words[at + PROPERTIES_LENGTH] as number);
  }
  return taken;
}
