// An exchange's verbs.

import type {
  BindOptions,
  Body,
  Exchange,
  ExchangeKind,
  ExchangeOptions,
  MessageOptions,
  PublishOptions,
  Queue,
} from "./api.js";
import { flag, known, optionalText, text } from "./checks.js";
import type { Core } from "./core.js";
import { invalid, shown } from "./errors.js";
import { writeHeaders } from "./headers.js";
import { nothing } from "./message.js";
import type { Native } from "./native/ferrymq_wasm.js";
import { QueueHandle, readCount } from "./queue.js";
import { MESSAGE_OPTIONS, writeMessage } from "./sending.js";
import type { Writer } from "./writer.js";

const PUBLISH_OPTIONS: ReadonlySet<string> = new Set([...MESSAGE_OPTIONS, "mandatory"]);
const BIND_OPTIONS: ReadonlySet<string> = new Set(["headers", "match"]);
const KINDS: readonly ExchangeKind[] = ["direct", "fanout", "topic", "headers"];
const PUBLISH = 1;
/** The engine's number where no kind is said. */
const NO_KIND = 4;
// A binding's flags.
const TO_EXCHANGE = 1;
const ANY = 2;

/** Asks the engine for an exchange. Throws `InvalidArgument` for a kind that there is not. */
function declareExchange(core: Core, native: Native, name: string, options: ExchangeOptions): number {
  const kind = options.kind ?? undefined;
  const number = kind === undefined ? NO_KIND : KINDS.indexOf(kind);
  if (number < 0) throw invalid(`kind is ${shown(kind)}; pass "direct", "fanout", "topic" or "headers"`);
  const alternate = optionalText("alternate", options.alternate);
  return core.written(
    (writer) => {
      writer.text(name);
      if (alternate !== undefined) writer.text(alternate);
    },
    (length) => native.declare_exchange(core.clock.now(), length, number, options.create ?? true),
  );
}

export class ExchangeHandle implements Exchange {
  readonly name: string;
  readonly kind: ExchangeKind;
  readonly core: Core;
  #place: number;
  #generation: number;
  #opening: number;

  /** From what the engine just answered. */
  constructor(core: Core, name: string) {
    this.core = core;
    this.name = name;
    this.kind = KINDS[core.kind()] as ExchangeKind;
    this.#place = core.place();
    this.#generation = core.generation();
    this.#opening = core.opening;
  }

  /** Declares an exchange, or finds it. */
  static declare(core: Core, name: string, options: ExchangeOptions): Promise<ExchangeHandle> {
    return core.call(
      (native) => declareExchange(core, native, name, options),
      (core) => new ExchangeHandle(core, name),
      undefined,
    );
  }

  bind(to: Queue | Exchange, pattern?: string, options?: BindOptions): Promise<void> {
    return this.#bind(to, pattern, options, false);
  }

  unbind(to: Queue | Exchange, pattern?: string, options?: BindOptions): Promise<void> {
    return this.#bind(to, pattern, options, true);
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

  #bind(to: unknown, pattern: unknown, options: BindOptions | undefined, remove: boolean): Promise<void> {
    const { core } = this;
    return core.call(
      (native) =>
        core.written(
          (writer) => this.#writeBinding(writer, to, pattern ?? "", options),
          (length) => native.bind(core.clock.now(), length, remove),
        ),
      nothing,
      undefined,
    );
  }

  /** Writes a binding as the engine's `wire.rs` reads it. */
  #writeBinding(writer: Writer, to: unknown, pattern: unknown, options: BindOptions | undefined): void {
    const { core } = this;
    const passed = known<BindOptions>("bind", options, BIND_OPTIONS);
    const any = passed.match === "any";
    if (!any && passed.match !== undefined && passed.match !== "all") {
      throw invalid(`match is ${shown(passed.match)}; pass "all" or "any"`);
    }
    const exchange = to instanceof ExchangeHandle;
    if (!(exchange || to instanceof QueueHandle) || to.core !== core) {
      throw invalid(`what is bound is ${shown(to)} or another broker's; pass a Queue or an Exchange of this broker`);
    }
    writer.word((exchange ? TO_EXCHANGE : 0) | (any ? ANY : 0));
    writer.word(this.#found());
    writer.word(this.#generation);
    writer.word(exchange ? to.#found() : to.place);
    writer.word(exchange ? to.#generation : to.generation);
    writer.text(text("pattern", pattern));
    writeHeaders(writer, passed.headers ?? EMPTY);
  }

  /** Its place in the engine; looked up again after the engine was opened anew. */
  #found(): number {
    const { core, name } = this;
    if (this.#opening !== core.opening) {
      const id = core.ask(
        (native) => declareExchange(core, native, name, { create: false }),
        (core) => ({ place: core.place(), generation: core.generation() }),
      );
      this.#place = id.place;
      this.#generation = id.generation;
      this.#opening = core.opening;
    }
    return this.#place;
  }
}

const EMPTY = Object.freeze({});
