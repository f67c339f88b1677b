// A message of a batch with options of its own.

import type { MessageOptions, Outgoing } from "./api.js";

/** @internal Told from a body that happens to look like it by being made here. */
export class OutgoingMessage implements Outgoing {
  readonly body: Outgoing["body"];
  readonly options: MessageOptions;

  constructor(body: Outgoing["body"], options: MessageOptions) {
    this.body = body;
    this.options = options;
  }
}

/**
 * A message of a batch with options of its own.
 *
 * ```ts
 * await orders.produceMany([outgoing("first", { priority: 2 }), "second"]);
 * ```
 */
export function outgoing(body: Outgoing["body"], options: MessageOptions = {}): Outgoing {
  return new OutgoingMessage(body, options);
}
