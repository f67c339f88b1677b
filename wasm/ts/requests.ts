// Requests and their replies. All replies to a broker come to one queue, made when first needed, and are told apart by their correlation ids.

import { onAbort } from "./aborts.js";
import type { Body, Message, QueueOptions, RequestOptions } from "./api.js";
import { abortSignal, known, timeout } from "./checks.js";
import type { Core } from "./core.js";
import { FerryError } from "./errors.js";
import type { QueueHandle } from "./queue.js";
import { randomName } from "./random.js";
import { MESSAGE_OPTIONS } from "./sending.js";
import type { Timer } from "./timers.js";

const REQUEST_OPTIONS: ReadonlySet<string> = new Set([
  ...MESSAGE_OPTIONS.filter((name) => name !== "correlationId" && name !== "replyTo" && name !== "delay"),
  "timeout",
  "signal",
]);
/** A reply is for those who wait now: it need not be safe. Not exclusive: who replies may be another session. It ends when nobody listens any more. */
const REPLIES: QueueOptions = { durability: "memory", deadLetter: false, expires: 60_000 };
const REQUEST_MS_DEFAULT = 30_000;
/** As many as calls may wait in the engine. */
const REQUESTS_MAX = 1_000_000;

/** Makes a queue. */
type Declare = (name: string, options: QueueOptions) => Promise<QueueHandle>;

interface Waiting {
  resolve(message: Message): void;
  reject(error: unknown): void;
}

export class Requests {
  readonly #core: Core;
  readonly #declare: Declare;
  readonly #name = randomName("ferrymq.reply.");
  readonly #waiting = new Map<string, Waiting>();
  #opening: Promise<void> | undefined;
  #last = 0;

  constructor(core: Core, declare: Declare) {
    this.#core = core;
    this.#declare = declare;
    core.onEnd((reason) => {
      this.#opening = undefined;
      for (const waiting of [...this.#waiting.values()]) waiting.reject(reason);
    });
  }

  async ask(queue: QueueHandle, body: Body, options: RequestOptions | undefined): Promise<Message> {
    const passed = known<RequestOptions>("request", options, REQUEST_OPTIONS);
    const wait = timeout(passed.timeout, REQUEST_MS_DEFAULT);
    const signal = abortSignal(passed.signal);
    signal?.throwIfAborted();
    if (this.#waiting.size >= REQUESTS_MAX) {
      throw new FerryError("Unavailable", `${REQUESTS_MAX} requests wait already, the most that may; try again`);
    }
    const { timeout: _, signal: __, ...message } = passed;
    await this.#open();
    this.#last += 1;
    const id = String(this.#last);
    const reply = this.#reply(id, wait, signal);
    const own = { ...message, replyTo: this.#name, correlationId: id, timeout: wait, signal };
    // Nobody works for a requester who has gone.
    const ttl = Number.isFinite(wait) ? Math.min(passed.ttl ?? wait, wait) : passed.ttl;
    const sent = queue.produce(body, { ...own, ttl });
    // A reply may come before its request is confirmed; a refused request gets none.
    sent.catch((error) => this.#waiting.get(id)?.reject(error));
    return reply;
  }

  #reply(id: string, wait: number, signal: AbortSignal | undefined): Promise<Message> {
    const { clock, timers } = this.#core;
    return new Promise((resolve, reject) => {
      let timer: Timer | undefined;
      const unhear = onAbort(signal, () => done(() => reject(signal?.reason)));
      const done = (settle: () => void) => {
        timer?.cancel();
        unhear();
        this.#waiting.delete(id);
        settle();
      };
      if (Number.isFinite(wait)) timer = timers.set(clock.now() + wait, () => done(() => reject(unanswered())), true);
      this.#waiting.set(id, {
        resolve: (message) => done(() => resolve(message)),
        reject: (error) => done(() => reject(error)),
      });
    });
  }

  /** The queue of replies, listened on. It is made anew when somebody deleted it. */
  #open(): Promise<void> {
    this.#opening ??= this.#begin().catch((error) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  async #begin(): Promise<void> {
    const queue = await this.#declare(this.#name, REPLIES);
    const { opening } = this.#core;
    this.#listen(queue).catch((error: unknown) => {
      // It listened to an engine that has been opened anew since; or the queue is gone: those who wait get no reply any more, the next request makes it anew.
      if (opening !== this.#core.opening) return;
      this.#opening = undefined;
      for (const waiting of [...this.#waiting.values()]) waiting.reject(error);
    });
  }

  async #listen(queue: QueueHandle): Promise<never> {
    for (;;) {
      const reply = await queue.listen();
      const waiting = this.#waiting.get(reply?.correlationId ?? "");
      if (waiting !== undefined && reply !== undefined) waiting.resolve(reply);
      else this.#core.log.stray(this.#name);
    }
  }
}

function unanswered(): FerryError {
  return new FerryError(
    "Unavailable",
    "no reply came within the timeout; see that a consumer of that queue runs and replies, or wait longer",
  );
}
