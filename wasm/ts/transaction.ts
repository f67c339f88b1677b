// A transaction: a list kept here, sent as one command at commit.

import type { Body, Delivery, Exchange, PublishOptions, Queue, Transaction } from "./api.js";
import { known } from "./checks.js";
import type { Core } from "./core.js";
import { FerryError } from "./errors.js";
import { ExchangeHandle } from "./exchange.js";
import { wordsOf } from "./message.js";
import { ownQueue } from "./queue.js";
import { MESSAGE_OPTIONS, writeMessage } from "./sending.js";
import { Writer } from "./writer.js";

// `timeout` is known so that one set of options does for both, but there is nothing to wait for.
const PRODUCE_OPTIONS: ReadonlySet<string> = new Set([...MESSAGE_OPTIONS, "timeout"]);
// The engine's limit, checked here as well: a list that can never be committed must not grow without a bound.
const TRANSACTION_OPERATIONS_MAX = 100_000;
const PRODUCE = 0;
const ACK = 2;

type Result = bigint | number | undefined;

export class TransactionList implements Transaction {
  readonly #core: Core;
  readonly #writer = new Writer();
  #count = 0;
  #ended = false;
  #results: readonly Result[] = [];

  constructor(core: Core) {
    this.#core = core;
  }

  get results(): readonly Result[] {
    return this.#results;
  }

  produce(target: Queue | Exchange, body: Body, options?: PublishOptions): void {
    this.#add((writer) => {
      if (target instanceof ExchangeHandle && target.core === this.#core) {
        target.write(writer, body, options);
        return;
      }
      const queue = ownQueue(this.#core, target);
      writer.word(PRODUCE);
      writer.word(queue.place);
      writer.word(queue.generation);
      writeMessage(writer, body, known("produce", options, PRODUCE_OPTIONS));
    });
  }

  ack(delivery: Delivery | Uint8Array): void {
    this.#add((writer) => {
      const words = wordsOf(delivery);
      writer.word(ACK);
      for (const word of words) writer.word(word);
    });
  }

  /** Ends it without an effect. */
  abort(): void {
    this.#ended = true;
  }

  async commit(): Promise<void> {
    this.#ended = true;
    const core = this.#core;
    this.#results = await core.call(
      (native) => {
        core.load(this.#writer);
        return native.transaction(core.clock.now(), this.#writer.length, this.#count);
      },
      readResults,
      undefined,
    );
  }

  #add(write: (writer: Writer) => void): void {
    if (this.#ended) {
      throw new FerryError("Closed", "the transaction has ended; begin another with broker.transaction");
    }
    if (this.#count === TRANSACTION_OPERATIONS_MAX) {
      const limit = `a transaction has at most ${TRANSACTION_OPERATIONS_MAX} operations; use several`;
      throw new FerryError("InvalidArgument", limit);
    }
    const before = this.#writer.length;
    try {
      write(this.#writer);
      this.#count += 1;
    } catch (error) {
      // What was refused leaves nothing behind, so that work that catches the refusal can go on.
      this.#writer.length = before;
      throw error;
    }
  }
}

function readResults(core: Core): Result[] {
  const longs = new BigUint64Array(core.bytes().buffer);
  return Array.from({ length: core.count() }, (_, step) => {
    const number = longs[2 * step + 1] as bigint;
    if (longs[2 * step] === 1n) return number;
    return longs[2 * step] === 2n ? Number(number) : undefined;
  });
}
