// Who listens to which pattern of the bus: with the first listener a subscription begins, with the last it ends.

import { onAbort } from "./aborts.js";
import type { Subscription } from "./api.js";

type Listener = EventListenerOrEventListenerObject;

interface Entry {
  readonly listener: Listener;
  readonly capture: boolean;
  readonly once: boolean;
}

interface Pattern {
  entries: Entry[];
  readonly subscription: Promise<Subscription>;
}

export class Listeners {
  readonly #patterns = new Map<string, Pattern>();
  readonly #subscribe: (pattern: string) => Promise<Subscription>;
  readonly #failed: (error: unknown) => void;

  constructor(subscribe: (pattern: string) => Promise<Subscription>, failed: (error: unknown) => void) {
    this.#subscribe = subscribe;
    this.#failed = failed;
  }

  /** As the platform has it: the same listener twice is once. Resolves once the pattern is subscribed to. */
  async add(name: string, listener: Listener, options: AddEventListenerOptions | boolean | undefined): Promise<void> {
    const { capture = false, once = false, signal } = typeof options === "object" ? options : { capture: options };
    if (signal?.aborted) return;
    let pattern = this.#patterns.get(name);
    if (pattern === undefined) {
      pattern = { entries: [], subscription: this.#subscribe(name) };
      this.#patterns.set(name, pattern);
    }
    if (!pattern.entries.some((entry) => entry.listener === listener && entry.capture === capture)) {
      pattern.entries.push({ listener, capture, once });
      onAbort(signal, () => this.remove(name, listener, capture));
    }
    try {
      await pattern.subscription;
    } catch (error) {
      this.#patterns.delete(name);
      this.#failed(error);
    }
  }

  remove(name: string, listener: Listener, options: EventListenerOptions | boolean | undefined): void {
    const capture = (typeof options === "object" ? options.capture : options) ?? false;
    this.#keep(name, (entry) => entry.listener !== listener || entry.capture !== capture);
  }

  /** Around an event: listeners that wanted one are gone before they are called, so that they may listen again. */
  hear(name: string, dispatch: () => void): void {
    const pattern = this.#patterns.get(name);
    if (pattern !== undefined) pattern.entries = pattern.entries.filter((entry) => !entry.once);
    dispatch();
    this.#end(name);
  }

  #keep(name: string, stays: (entry: Entry) => boolean): void {
    const pattern = this.#patterns.get(name);
    if (pattern !== undefined) pattern.entries = pattern.entries.filter(stays);
    this.#end(name);
  }

  /** With nobody left who listens, the subscription ends. */
  #end(name: string): void {
    const pattern = this.#patterns.get(name);
    if (pattern === undefined || pattern.entries.length > 0) return;
    this.#patterns.delete(name);
    pattern.subscription.then((subscription) => subscription.stop()).catch(() => undefined);
  }
}
