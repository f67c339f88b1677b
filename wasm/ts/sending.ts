// A message on its way in: body and options to what the engine reads.

import type { MessageOptions } from "./api.js";
import { durability, integer, known, optionalDuration, optionalText } from "./checks.js";
import { invalid, shown } from "./errors.js";
import { writeHeaders } from "./headers.js";
import { OutgoingMessage } from "./outgoing.js";
import type { Writer } from "./writer.js";

const PRIORITY_MAX = 254;

const KEY = 1;
const CONTENT_TYPE = 2;
const CORRELATION_ID = 3;
const REPLY_TO = 4;
const HEADERS = 5;
const TEXT = 6;
const JSON_BODY = 7;
const DEDUP_ID = 8;

export const MESSAGE_OPTIONS = [
  "key",
  "priority",
  "delay",
  "ttl",
  "headers",
  "dedupId",
  "durability",
  "contentType",
  "correlationId",
  "replyTo",
] as const;

const OUTGOING_OPTIONS: ReadonlySet<string> = new Set(MESSAGE_OPTIONS);

/** The numbers of a message: what does not travel as bytes. */
export interface Numbers {
  /** Priority, and the durability above it. */
  level: number;
  delay: number;
  ttl: number;
}

export const NO_NUMBERS: Readonly<Numbers> = Object.freeze({ level: 0, delay: Number.NaN, ttl: Number.NaN });

/** The numbers among a message's options. */
export function numbersOf(options: MessageOptions): Numbers {
  const priority = options.priority === undefined ? 0 : integer("priority", options.priority, 0, PRIORITY_MAX);
  return {
    level: priority | (durability(options.durability) << 8),
    delay: optionalDuration("delay", options.delay),
    ttl: optionalDuration("ttl", options.ttl),
  };
}

/** A body as bytes, or as the text that becomes them. Runs the user's `toJSON`, so nothing half-written may be about. */
export function prepare(body: unknown): { kind: number; content: Uint8Array | string } {
  if (body instanceof Uint8Array) return { kind: 0, content: body };
  if (typeof body === "string") {
    if (SURROGATE.test(body)) {
      throw invalid(
        "the body holds half of a surrogate pair, which UTF-8 cannot say; repair it with body.toWellFormed(), or send bytes",
      );
    }
    return { kind: TEXT, content: body };
  }
  if (body instanceof ArrayBuffer) return { kind: 0, content: new Uint8Array(body) };
  if (ArrayBuffer.isView(body)) {
    throw invalid(
      "the body is a view of another kind than Uint8Array; pass new Uint8Array(view.buffer, view.byteOffset, view.byteLength)",
    );
  }
  if (typeof Blob !== "undefined" && body instanceof Blob) {
    throw invalid("the body is a Blob; pass await blob.arrayBuffer()");
  }
  return { kind: JSON_BODY, content: json(body) };
}

const SURROGATE = /\p{Surrogate}/u;

function json(body: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(body);
  } catch (error) {
    throw invalid(`the body is not a JSON value: ${error instanceof Error ? error.message : "it throws"}`, error);
  }
  if (text === undefined) {
    throw invalid(`the body is ${shown(body)}; pass a Uint8Array, an ArrayBuffer, a string or a JSON value`);
  }
  return text;
}

/** Writes a message's properties; returns how many bytes. */
export function writeProperties(writer: Writer, kind: number, options: MessageOptions): number {
  const from = writer.length;
  const contentType = optionalText("contentType", options.contentType);
  if (contentType !== undefined) writeField(writer, CONTENT_TYPE, contentType);
  else if (kind !== 0) writer.byte(kind);
  writeField(writer, KEY, optionalText("key", options.key));
  writeField(writer, CORRELATION_ID, optionalText("correlationId", options.correlationId));
  writeField(writer, REPLY_TO, optionalText("replyTo", options.replyTo));
  writeField(writer, DEDUP_ID, optionalText("dedupId", options.dedupId));
  const headers: unknown = options.headers;
  if (headers !== undefined && headers !== null) {
    writer.byte(HEADERS);
    writeHeaders(writer, headers);
  }
  return writer.length - from;
}

function writeField(writer: Writer, tag: number, value: string | undefined): void {
  if (value === undefined) return;
  writer.byte(tag);
  writer.text(value);
}

/** Writes a whole message: lengths, numbers, properties, body. */
export function writeMessage(writer: Writer, body: unknown, options: MessageOptions): void {
  const { kind, content } = prepare(body);
  const numbers = options === NO_OPTIONS ? NO_NUMBERS : numbersOf(options);
  const at = writer.length;
  writer.word(0);
  writer.word(0);
  writer.float(numbers.delay);
  writer.float(numbers.ttl);
  writer.word(numbers.level);
  if (kind !== 0 || options !== NO_OPTIONS) writer.wordAt(at, writeProperties(writer, kind, options));
  const bodyAt = writer.length;
  if (typeof content === "string") writer.letters(content);
  else writer.raw(content);
  writer.wordAt(at + 4, writer.length - bodyAt);
}

/** No options, recognisable at a glance. */
export const NO_OPTIONS: MessageOptions = Object.freeze({});

/** Writes an item of a batch: a body, or an `outgoing`. */
export function writeItem(writer: Writer, item: unknown): void {
  if (item instanceof Uint8Array) {
    writer.plainMessage(item);
  } else if (item instanceof OutgoingMessage) {
    writeMessage(writer, item.body, known("outgoing", item.options, OUTGOING_OPTIONS));
  } else {
    writeMessage(writer, item, NO_OPTIONS);
  }
}
