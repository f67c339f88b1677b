// The engine's tickets: fetched, brought to a disk, and their outcomes back.

import type { Core } from "./core.js";
import { Reader } from "./reader.js";
import type { StoreNative } from "./store.js";
import { Writer } from "./writer.js";

/** What a ticket asks for; the engine's numbers for it. */
export const LIST = 0;
export const CREATE = 1;
export const DELETE = 2;
export const SYNC_DIRECTORY = 3;
export const READ = 4;
export const WRITE = 5;
export const SYNC = 6;

const DONE = 0;
const FILES = 1;
const BYTES = 2;
const FAILED = 3;

export interface Ticket {
  readonly id: bigint;
  readonly what: number;
  /** The file's number. */
  readonly file: bigint;
  readonly offset: number;
  /** How many bytes to read, or of a file to make. */
  readonly length: number;
  /** What to write. */
  readonly bytes: Uint8Array | undefined;
}

/** What a ticket gave: files with their lengths, bytes, or nothing. */
export type Given = readonly (readonly [file: bigint, length: number])[] | Uint8Array | undefined;

export interface Disk {
  /** Does what is asked; calls `done` once, later. */
  perform(ticket: Ticket, done: (error: Error | undefined, given?: Given) => void): void;
  /** Lets the files go. `givenUp`: and says that nobody owns the store, which a process that is killed cannot. Never rejects. */
  close(givenUp: boolean): Promise<void>;
}

/**
 * What the engine wants of its disk and nobody has done yet. A sync and one other thing may be under way at once, the rest is done in its order: while a sync runs, the next group gathers and is written.
 */
export class Tickets {
  readonly #core: Core;
  readonly #native: StoreNative;
  readonly #disk: Disk;
  readonly #queue: Ticket[] = [];
  #busy = false;
  #syncing = false;
  #opened: { resolve(): void; reject(error: unknown): void } | undefined;
  /** Called after each outcome. */
  readonly #watching = new Set<() => void>();
  /** Nothing more is begun. */
  #ended = false;
  #letGo: Promise<void> | undefined;
  readonly #unhear: () => void;

  constructor(core: Core, native: StoreNative, disk: Disk) {
    this.#core = core;
    this.#native = native;
    this.#disk = disk;
    core.disk = () => this.#fetch();
    // After a trap.
    this.#unhear = core.onEnd(() => void this.release(true));
  }

  /** Opens the engine over the disk. Rejects with why it cannot be opened. */
  async open(epoch: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#opened = { resolve, reject };
      if (this.#core.reopen(epoch)) resolve();
    });
    this.#opened = undefined;
  }

  /** Sentences on what was durable and could not be read at the opening. They are logged, too. */
  losses(): string[] {
    const core = this.#core;
    let losses: string[] = [];
    core.poke(() => {
      this.#native.losses();
      const reader = new Reader(core.bytes());
      losses = Array.from({ length: core.count() }, () => reader.text());
    });
    for (const loss of losses) core.log.warn(loss);
    return losses;
  }

  /** Makes everything safe that was accepted, closes the log in order, and lets the disk go. */
  async settle(): Promise<void> {
    const { clock } = this.#core;
    let settled = false;
    try {
      do {
        this.#core.poke(() => {
          settled = this.#native.settle_log(clock.now());
        });
      } while (!settled && (await this.#nextOutcome()));
    } catch {
      // The engine stopped, and has told those who wait.
    }
    await this.release(true);
  }

  /** Waits until nothing is to be done or under way. Resolves with whether there was anything. */
  async idle(): Promise<boolean> {
    let any = false;
    while (await this.#nextOutcome()) any = true;
    return any;
  }

  /** Begins nothing more, and lets the disk go when it is done with what is under way. `givenUp`: as for `Disk.close`. */
  release(givenUp: boolean): Promise<void> {
    this.#ended = true;
    this.#unhear();
    this.#queue.length = 0;
    this.#letGo ??= this.idle().then(() => this.#disk.close(givenUp));
    return this.#letGo;
  }

  #fetch(): void {
    while (this.#core.tickets() > 0) {
      const core = this.#core;
      const what = this.#native.next_ticket();
      this.#queue.push({
        what,
        id: core.ofTicket(0),
        file: core.ofTicket(1),
        offset: Number(core.ofTicket(2)),
        length: Number(core.ofTicket(3)),
        bytes: what === WRITE ? core.bytes() : undefined,
      });
    }
    if (this.#ended) this.#queue.length = 0;
    this.#begin();
  }

  #begin(): void {
    for (let ticket = this.#queue[0]; ticket !== undefined && !this.#ended; ticket = this.#queue[0]) {
      const isSync = ticket.what === SYNC;
      if (this.#busy || (isSync && this.#syncing)) return;
      this.#queue.shift();
      if (isSync) this.#syncing = true;
      else this.#busy = true;
      const { id } = ticket;
      this.#disk.perform(ticket, (error, given) => {
        if (isSync) this.#syncing = false;
        else this.#busy = false;
        this.#done(id, error, given);
      });
    }
  }

  #done(id: bigint, error: Error | undefined, given: Given): void {
    // After its end the engine is not asked any more: it may be gone.
    if (!this.#ended) {
      try {
        this.#bring(id, error, given);
      } catch (refused) {
        // The opening was refused; or the engine stopped, and has told those who wait.
        this.#opened?.reject(refused);
      }
      this.#begin();
    }
    for (const seen of [...this.#watching]) seen();
  }

  #bring(id: bigint, error: Error | undefined, given: Given): void {
    const core = this.#core;
    const native = this.#native;
    const [outcome, bytes] = outcomeOf(error, given);
    core.poke(() => {
      core.load(undefined, bytes);
      native.io_done(core.clock.now(), id, outcome, bytes.length);
      // What was still to be done then is not.
      if (native.has_failed()) this.#queue.length = 0;
    });
    if (this.#opened !== undefined && core.openingStands(native.opened(core.clock.now()))) this.#opened.resolve();
  }

  /** Waits for the next outcome; false: there is none to come. */
  #nextOutcome(): Promise<boolean> {
    if (!this.#busy && !this.#syncing && this.#queue.length === 0) return Promise.resolve(false);
    return new Promise((resolve) => {
      const seen = () => {
        this.#watching.delete(seen);
        resolve(true);
      };
      this.#watching.add(seen);
    });
  }
}

/** What became of a ticket, as the engine reads it. */
function outcomeOf(error: Error | undefined, given: Given): [outcome: number, bytes: Uint8Array] {
  if (error !== undefined) return [FAILED, new TextEncoder().encode(error.message)];
  if (given === undefined) return [DONE, new Uint8Array()];
  if (given instanceof Uint8Array) return [BYTES, given];
  const writer = new Writer();
  for (const [file, length] of given) {
    writer.long(BigInt.asIntN(64, file));
    writer.long(BigInt(length));
  }
  return [FILES, writer.bytes.subarray(0, writer.length)];
}
