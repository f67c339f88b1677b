// An exchange's verbs.

import type { Body, Exchange, ExchangeKind, MessageOptions, PublishOptions, Queue } from "./api.js";
import { flag, known, optionalText, text } from "./checks.js";
import type { Core } from "./core.js";
import { invalid, shown } from "./errors.js";
import { nothing } from "./message.js";
import type { Native } from "./native/ferrymq_wasm.js";
import { ownQueue, readCount } from "./queue.js";
import { MESSAGE_OPTIONS, writeMessage } from "./sending.js";
import type { Writer } from "./writer.js";

const PUBLISH_OPTIONS: ReadonlySet<string> = new Set([...MESSAGE_OPTIONS, "mandatory"]);
const KINDS: readonly ExchangeKind[] = ["direct", "fanout", "topic"];
const PUBLISH = 1;

/** Asks the engine for an exchange. Throws `InvalidArgument` for a kind that there is not. */
export function declareExchange(core: Core, native: Native, name: string, kind: unknown, create: boolean): number {
  const number = kindNumber(kind);
  return core.written(
    (writer) => writer.text(name),
    (length) => native.declare_exchange(core.clock.now(), length, number, create),
  );
}

function kindNumber(kind: unknown): number {
  const number = KINDS.indexOf(kind as ExchangeKind);
  if (number < 0) throw invalid(`kind is ${shown(kind)}; pass "direct", "fanout" or "topic"`);
  return number;
}

export class ExchangeHandle implements Exchange {
  readonly name: string;
  readonly kind: ExchangeKind;
  readonly core: Core;
  #place: number;
  #generation: number;
  #opening: number;

  constructor(core: Core, name: string, kind: ExchangeKind, place: number, generation: number) {
    this.core = core;
    this.name = name;
    this.kind = kind;
    this.#place = place;
    this.#generation = generation;
    this.#opening = core.opening;
  }

  /** Declares an exchange, or finds it. */
  static declare(core: Core, name: string, kind: ExchangeKind, create = true): Promise<ExchangeHandle> {
    return core.call(
      (native) => declareExchange(core, native, name, kind, create),
      (core) => new ExchangeHandle(core, name, kind, core.place(), core.generation()),
      undefined,
    );
  }

  bind(queue: Queue, pattern = ""): Promise<void> {
    return this.#bind(queue, pattern, false);
  }

  unbind(queue: Queue, pattern = ""): Promise<void> {
    return this.#bind(queue, pattern, true);
  }

  publish(body: Body, options?: PublishOptions): Promise<number> {
    const { core } = this;
    return core.call(
      (native) =>
        core.written(
          (writer) => this.write(writer, body, options),
          (length) => native.publish(core.clock.now(), length),
        ),
      readCount,
      undefined,
    );
  }

  produce(body: Body, options?: PublishOptions): Promise<number> {
    return this.publish(body, options);
  }

  delete(): Promise<void> {
    const { core } = this;
    return core.call(
      (native) => native.delete_exchange(core.clock.now(), this.#found(), this.#generation),
      nothing,
      undefined,
    );
  }

  /** Writes a publish as the engine's `wire.rs` reads an operation. */
  write(writer: Writer, body: unknown, options: PublishOptions | undefined): void {
    const passed = known<PublishOptions>("publish", options, PUBLISH_OPTIONS);
    writer.word(PUBLISH);
    writer.word(this.#found());
    writer.word(this.#generation);
    writer.word(flag("mandatory", passed.mandatory) ? 1 : 0);
    writer.text(optionalText("key", passed.key) ?? "");
    writeMessage(writer, body, passed as MessageOptions);
  }

  #bind(queue: unknown, pattern: unknown, remove: boolean): Promise<void> {
    const { core } = this;
    return core.call(
      (native) => {
        const target = ownQueue(core, queue);
        const words = text("pattern", pattern);
        const { place, generation } = target;
        const found = this.#found();
        return core.written(
          (writer) => writer.text(words),
          (length) => native.bind(core.clock.now(), found, this.#generation, place, generation, length, remove),
        );
      },
      nothing,
      undefined,
    );
  }

  /** Its place in the engine; looked up again after the engine was opened anew. */
  #found(): number {
    const { core, name, kind } = this;
    if (this.#opening !== core.opening) {
      const id = core.ask(
        (native) => declareExchange(core, native, name, kind, false),
        (core) => ({ place: core.place(), generation: core.generation() }),
      );
      this.#place = id.place;
      this.#generation = id.generation;
      this.#opening = core.opening;
    }
    return this.#place;
  }
}
