// One broker's engine under the public objects: calls into it, the promises of calls that wait, the timer it asked for.

import { onAbort } from "./aborts.js";
import type { Alarms } from "./alarms.js";
import type { Log } from "./api.js";
import type { Clock } from "./clock.js";
import { FerryError, refusal } from "./errors.js";
import { Lines } from "./log.js";
import type { Native } from "./native/ferrymq_wasm.js";
import { Reader } from "./reader.js";
import type { Requests } from "./requests.js";
import { Timers } from "./timers.js";
import { Writer } from "./writer.js";

const DONE = 0;
const PENDING = 1;

// Places in the registers; see registers.rs.
const EVENTS = 0;
const KIND = 1;
const DEADLINE_FLOAT = 1;
const CALL_LONG = 2;
const NUMBER_LONG = 3;
const HANDLE = 6;
const BYTES_AT = 8;
const EXCHANGE_KIND = 8;
const BYTES_LENGTH = 9;
const COUNT = 10;
const RECORDS_AT = 11;
const NOTICES = 14;
const TICKETS = 15;
const RECORD = 16;
const REGISTER_WORDS = 32;
/** Words in the record of a message. */
export const RECORD_WORDS = 16;

/** A timer cannot be set further ahead. */
const TIMER_MS_MAX = 2 ** 31 - 1;
/** Scratch memory beyond this is given back after the call that needed it. */
const SCRATCH_BYTES_KEPT = 1 << 20;

const UTF8 = new TextDecoder();

/** Makes a call's result of what it left in the registers. */
export type Read<S, T> = (core: Core, subject: S) => T;

interface Waiting {
  /** Whether somebody waits for it, or only something that listens in case something comes. */
  readonly foreground: boolean;
  resolve(core: Core): void;
  reject(error: unknown): void;
}

/** How a call waits. */
export interface Waits {
  readonly signal?: AbortSignal | undefined;
  /** It only listens: in Node it keeps no process alive. */
  readonly background?: boolean;
}

export class Core {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Lines;
  /** What is made when first needed. */
  requests: Requests | undefined;
  alarms: Alarms | undefined;
  /** Works on what the engine wants of a disk; called when there is something to be fetched. */
  disk: (() => void) | undefined;
  /** Which opening this is: handles of an earlier one look their queue up again. */
  opening = 0;
  #native: Native;
  #memory: WebAssembly.Memory;
  #registersAt: number;
  #registers!: Uint32Array;
  #floats!: Float64Array;
  #longs!: BigUint64Array;
  #bytes!: Uint8Array;
  #scratchAt = 0;
  #scratchLength = 0;
  #waiting = new Map<bigint, Waiting>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerDue = Number.POSITIVE_INFINITY;
  #timerHolds = false;
  /** Why no call can be made any more. */
  #ended: FerryError | undefined;
  /** Nobody waits any more. */
  #over = false;
  #writer: Writer | undefined = new Writer();
  /** How many of those who wait are in the foreground. */
  #foreground = 0;
  readonly #ends = new Set<(reason: FerryError) => void>();

  constructor(native: Native, memory: WebAssembly.Memory, clock: Clock, log: Log | undefined) {
    this.#native = native;
    this.#memory = memory;
    this.clock = clock;
    this.timers = new Timers(clock);
    this.log = new Lines(log, clock, this.timers);
    this.#registersAt = native.registers();
    this.#look();
  }

  get open(): boolean {
    return this.#ended === undefined;
  }

  /** Opens the engine, or opens it anew. False: a disk has to be asked first; `openingStands` says how that goes. */
  reopen(epoch: number): boolean {
    this.#ended = undefined;
    this.#over = false;
    this.opening += 1;
    return this.openingStands(this.#native.reopen(this.clock.now(), epoch));
  }

  /** Whether it is open, by the status of a call that says so. Throws why it cannot be opened. */
  openingStands(status: number): boolean {
    if (status !== DONE && status !== PENDING) throw this.#refusal();
    this.#follow();
    return status === DONE;
  }

  /**
   * Makes a call. `enter` checks arguments and calls the engine; `read` makes the result; what either throws rejects the promise.
   * A call that waits settles later, or when its signal is aborted.
   */
  call<S, T>(enter: (native: Native) => number, read: Read<S, T>, subject: S, waits?: Waits): Promise<T> {
    try {
      this.#check();
      if (waits?.signal?.aborted) throw waits.signal.reason;
      const status = enter(this.#native);
      if (this.#bytes.length === 0) this.#look();
      const settled =
        status === DONE ? Promise.resolve(read(this, subject)) : this.#unsettled(status, read, subject, waits);
      this.#follow();
      return settled;
    } catch (error) {
      return Promise.reject(this.#failure(error));
    }
  }

  /** As `call`, for what never waits. Throws. */
  ask<T>(enter: (native: Native) => number, read: Read<undefined, T>): T {
    try {
      this.#check();
      if (enter(this.#native) !== DONE) throw this.#refusal();
      if (this.#bytes.length === 0) this.#look();
      const result = read(this, undefined);
      this.#follow();
      return result;
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** Gives the engine what is not a command, such as a testing hook. */
  poke(enter: (native: Native) => void): void {
    try {
      enter(this.#native);
      this.#follow();
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** From here on every call gets `reason`; those that wait still get their results. */
  refuse(reason: FerryError): void {
    this.#ended ??= reason;
  }

  /** Ends this core: whoever waits gets `reason`, and so does every later call. */
  end(reason: FerryError): void {
    if (this.#over) return;
    this.#over = true;
    this.#ended ??= reason;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#timerDue = Number.POSITIVE_INFINITY;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    this.#foreground = 0;
    for (const call of waiting) call.reject(reason);
    this.timers.end();
    for (const end of [...this.#ends]) end(reason);
    this.log.flush();
  }

  /** Calls `end` when this core ends, until the returned function is called. */
  onEnd(end: (reason: FerryError) => void): () => void {
    this.#ends.add(end);
    return () => {
      this.#ends.delete(end);
    };
  }

  /** Frees the engine's memory. Only after `end`. */
  free(): void {
    this.#native.free();
  }

  /** A writer for one call; give it back with `done`. A call made while another is being written gets one of its own. */
  writer(): Writer {
    const writer = this.#writer ?? new Writer();
    this.#writer = undefined;
    writer.reset();
    return writer;
  }

  done(writer: Writer): void {
    this.#writer = writer;
  }

  /** Puts bytes where the engine reads them: what was written, then `more`. Nothing may run between this and the engine's call. */
  load(writer: Writer | undefined, more?: Uint8Array): void {
    const first = writer === undefined ? 0 : writer.length;
    const length = first + (more === undefined ? 0 : more.length);
    if (length > this.#scratchLength || this.#scratchLength > SCRATCH_BYTES_KEPT) this.#scratch(length);
    if (this.#bytes.length === 0) this.#look();
    if (writer !== undefined) this.#bytes.set(writer.bytes.subarray(0, first), this.#scratchAt);
    if (more !== undefined) this.#bytes.set(more, this.#scratchAt + first);
  }

  /** Writes what a call reads, puts it where the engine reads it, and makes the call with its length. */
  written(write: (writer: Writer) => void, enter: (length: number) => number): number {
    const writer = this.writer();
    try {
      write(writer);
      this.load(writer);
      return enter(writer.length);
    } finally {
      this.done(writer);
    }
  }

  // What a call left behind. Valid until the next call.

  /** A number of 64 bits. */
  long(): bigint {
    return this.#longs[NUMBER_LONG] as bigint;
  }

  /** The place of a handle. */
  place(): number {
    return this.#registers[HANDLE] as number;
  }

  /** The generation of a handle. */
  generation(): number {
    return this.#registers[HANDLE + 1] as number;
  }

  /** The kind of an exchange, as a number. */
  kind(): number {
    return this.#registers[EXCHANGE_KIND] as number;
  }

  /** How many messages, results or tokens the bytes hold. */
  count(): number {
    return this.#registers[COUNT] as number;
  }

  /** How many tickets wait to be fetched. */
  tickets(): number {
    return this.#registers[TICKETS] as number;
  }

  /** A number of the ticket that was fetched: its own, its file's, where, how many bytes. */
  ofTicket(place: number): bigint {
    return this.#longs[RECORD / 2 + place] as bigint;
  }

  /** Statistics, as the engine has them. */
  value(): unknown {
    return this.#native.take_value();
  }

  /** A copy of the bytes, from a buffer of their own. */
  bytes(): Uint8Array {
    const at = this.#registers[BYTES_AT] as number;
    return this.#bytes.slice(at, at + (this.#registers[BYTES_LENGTH] as number));
  }

  /** A copy of the record of a single message. */
  record(): Uint32Array {
    // Word by word: for so few a copy by the runtime costs more than it copies.
    const record = new Uint32Array(RECORD_WORDS);
    for (let place = 0; place < RECORD_WORDS; place++) record[place] = this.#registers[RECORD + place] as number;
    return record;
  }

  /** A copy of the records of a batch. */
  records(): Uint32Array {
    const at = this.#registers[RECORDS_AT] as number;
    return new Uint32Array(this.#memory.buffer, at, this.count() * RECORD_WORDS).slice();
  }

  #unsettled<S, T>(status: number, read: Read<S, T>, subject: S, waits: Waits | undefined): Promise<T> {
    return status === PENDING ? this.#wait(read, subject, waits) : Promise.reject(this.#refusal());
  }

  #wait<S, T>(read: Read<S, T>, subject: S, waits: Waits | undefined): Promise<T> {
    const call = this.#longs[CALL_LONG] as bigint;
    const signal = waits?.signal;
    const foreground = waits?.background !== true;
    if (foreground) this.#foreground += 1;
    return new Promise<T>((resolve, reject) => {
      const unhear = onAbort(signal, () => {
        this.#forget(call);
        this.#cancel(call);
        reject(signal?.reason);
      });
      this.#waiting.set(call, {
        foreground,
        resolve: (core) => {
          unhear();
          try {
            resolve(read(core, subject));
          } catch (error) {
            reject(error);
          }
        },
        reject: (error) => {
          unhear();
          reject(error);
        },
      });
    });
  }

  #forget(call: bigint): Waiting | undefined {
    const waiting = this.#waiting.get(call);
    if (waiting === undefined) return undefined;
    this.#waiting.delete(call);
    if (waiting.foreground) this.#foreground -= 1;
    return waiting;
  }

  /** A new error each time: its stack says who called. */
  #check(): void {
    if (this.#ended !== undefined) throw new FerryError(this.#ended.code, this.#ended.message);
  }

  #cancel(call: bigint): void {
    if (this.#ended !== undefined) return;
    try {
      this.#native.cancel(this.clock.now(), call);
      this.#follow();
    } catch (error) {
      this.#failure(error);
    }
  }

  /** After every call: settles what was resolved, and sets the timer. */
  #follow(): void {
    if (this.#bytes.length === 0) this.#look();
    while ((this.#registers[EVENTS] as number) > 0) this.#settleNext();
    if ((this.#registers[NOTICES] as number) > 0) this.#noticed();
    if ((this.#registers[TICKETS] as number) > 0) this.disk?.();
    if (!this.clock.runs) return;
    const deadline = this.#floats[DEADLINE_FLOAT] as number;
    if (deadline < this.#timerDue) this.#arm(deadline);
    if (this.#timer !== undefined && this.#timerHolds !== this.#foreground > 0) this.#hold();
  }

  #noticed(): void {
    this.#native.take_notices();
    if (this.#bytes.length === 0) this.#look();
    const reader = new Reader(this.bytes());
    for (let left = this.count(); left > 0; left--) {
      const count = Number(reader.long());
      const what = reader.byte();
      this.log.notice({ count, what, queue: reader.text(), detail: reader.text() });
    }
  }

  #settleNext(): void {
    const status = this.#native.next_resolved();
    if (this.#bytes.length === 0) this.#look();
    const call = this.#longs[CALL_LONG] as bigint;
    const waiting = this.#forget(call);
    if (waiting === undefined) {
      // Its promise was rejected when the signal was aborted; a message must not go down with it.
      this.#native.give_back(this.clock.now());
      return;
    }
    if (status === DONE) waiting.resolve(this);
    else waiting.reject(this.#refusal());
  }

  /**
   * One timer for everything. It is not moved when its reason goes away, which happens with every ack: it fires, finds nothing due, and is set
   * to what is due then.
   */
  #arm(deadline: number): void {
    clearTimeout(this.#timer);
    this.#timerDue = deadline;
    this.#timerHolds = true;
    const ahead = Math.min(Math.max(deadline - this.clock.now(), 0), TIMER_MS_MAX);
    this.#timer = setTimeout(() => this.#fire(), ahead);
  }

  /** In Node the timer keeps the process alive only while somebody waits. */
  #hold(): void {
    const timer = this.#timer as { ref?(): void; unref?(): void } | number;
    this.#timerHolds = this.#foreground > 0;
    if (typeof timer === "number") return;
    if (this.#timerHolds) timer.ref?.();
    else timer.unref?.();
  }

  #fire(): void {
    this.#timer = undefined;
    this.#timerDue = Number.POSITIVE_INFINITY;
    if (this.#ended !== undefined) return;
    try {
      this.#native.advance(this.clock.now());
      this.#follow();
    } catch (error) {
      // Nobody called: those who wait are told.
      this.#failure(error);
    }
  }

  #scratch(length: number): void {
    if (this.#scratchLength > SCRATCH_BYTES_KEPT && length <= SCRATCH_BYTES_KEPT) {
      this.#scratchAt = this.#native.shrink_scratch(SCRATCH_BYTES_KEPT);
      this.#scratchLength = SCRATCH_BYTES_KEPT;
    }
    if (length > this.#scratchLength) {
      const room = Math.max(length, Math.min(this.#scratchLength * 2, SCRATCH_BYTES_KEPT), 4096);
      this.#scratchAt = this.#native.scratch(room);
      this.#scratchLength = room;
    }
  }

  /** Memory that grew leaves the old views empty. */
  #look(): void {
    const buffer = this.#memory.buffer;
    this.#bytes = new Uint8Array(buffer);
    this.#registers = new Uint32Array(buffer, this.#registersAt, REGISTER_WORDS);
    this.#floats = new Float64Array(buffer, this.#registersAt, REGISTER_WORDS / 2);
    this.#longs = new BigUint64Array(buffer, this.#registersAt, REGISTER_WORDS / 2);
  }

  #refusal(): FerryError {
    if (this.#bytes.length === 0) this.#look();
    return refusal(this.#registers[KIND] as number, UTF8.decode(this.bytes()));
  }

  /** What a call threw, as its caller is to see it. A trap ends the broker: nothing it holds can be trusted. */
  #failure(error: unknown): unknown {
    if (!(error instanceof WebAssembly.RuntimeError)) {
      // Arguments run code, a `toJSON` say, and that may have closed the broker under the call.
      return this.#ended !== undefined && !(error instanceof FerryError) ? this.#ended : error;
    }
    const broken = new FerryError(
      "StoreFailed",
      `the engine stopped: ${error.message}; open the broker anew and report this`,
      { cause: error },
    );
    this.end(broken);
    return broken;
  }
}
