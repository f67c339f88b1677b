// What a listener of the bus is called with.

import type { Message } from "./api.js";

/** Importing this package touches nothing that a server lacks; every runtime of the last years has `Event`. */
export class BusEvent extends Event {
  /** What it was published under; `type` is the pattern that was listened to. */
  readonly topic: string;
  readonly message: Message;

  constructor(pattern: string, topic: string, message: Message) {
    super(pattern);
    this.topic = topic;
    this.message = message;
  }
}
