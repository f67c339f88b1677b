// Typed headers and the other properties of a message, to bytes and back, as the engine's `wire.rs` has them.

import type { Headers } from "./api.js";
import { text } from "./checks.js";
import { invalid, shown } from "./errors.js";
import { Reader } from "./reader.js";
import type { Writer } from "./writer.js";

/** The engine's own limit is lower; this one only ends what would not end. */
const WRITTEN_BYTES_MAX = 1 << 20;
const DEPTH_MAX = 32;
const INT_MAX = 2n ** 63n - 1n;
const INT_MIN = -(2n ** 63n);

/** A string-keyed table of values, its count before it. */
export function writeHeaders(writer: Writer, headers: unknown): void {
  if (typeof headers !== "object" || headers === null || Array.isArray(headers) || ArrayBuffer.isView(headers)) {
    throw invalid(`headers is ${shown(headers)}; pass an object or a Map`);
  }
  writeMap(writer, headers, "headers", 1, writer.length + WRITTEN_BYTES_MAX);
}

function writeMap(writer: Writer, map: object, path: string, depth: number, end: number): void {
  checkDepth(path, depth);
  const entries = map instanceof Map ? map.entries() : Object.entries(map);
  const at = writer.length;
  let count = 0;
  writer.word(0);
  for (const [name, value] of entries) {
    if (value === undefined) continue;
    writer.text(text(`a name in ${path}`, name));
    writeValue(writer, value, `${path}.${name}`, depth, end);
    count += 1;
  }
  writer.wordAt(at, count);
}

function writeValue(writer: Writer, value: unknown, path: string, depth: number, end: number): void {
  if (writer.length > end) throw invalid("headers are larger than 65536 bytes; put large values into the body");
  switch (typeof value) {
    case "boolean":
      writer.byte(value ? 2 : 1);
      break;
    case "number":
      writeNumber(writer, value);
      break;
    case "bigint":
      if (value < INT_MIN || value > INT_MAX) {
        throw invalid(`${path} is ${value}n, which 64 bits do not hold; pass it as a string`);
      }
      writer.byte(3);
      writer.long(value);
      break;
    case "string":
      writer.byte(5);
      writer.text(text(path, value));
      break;
    case "object":
      if (value === null) writer.byte(0);
      else writeObject(writer, value, path, depth, end);
      break;
    default:
      throw invalid(
        `${path} is ${shown(value)}; a header is null, a boolean, number, bigint, string, Date, Uint8Array, array or object`,
      );
  }
}

function writeNumber(writer: Writer, value: number): void {
  if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
    writer.byte(3);
    writer.long(BigInt(value));
  } else {
    writer.byte(4);
    writer.float(value);
  }
}

function writeObject(writer: Writer, value: object, path: string, depth: number, end: number): void {
  if (value instanceof Uint8Array || value instanceof ArrayBuffer) {
    const bytes = value instanceof Uint8Array ? value : new Uint8Array(value);
    writer.byte(6);
    writer.word(bytes.length);
    writer.raw(bytes);
  } else if (value instanceof Date) {
    const ms = value.getTime();
    if (Number.isNaN(ms)) throw invalid(`${path} is an invalid Date; pass a valid one`);
    writer.byte(7);
    writer.long(BigInt(ms));
  } else if (Array.isArray(value)) {
    writeList(writer, value, path, depth + 1, end);
  } else if (ArrayBuffer.isView(value)) {
    throw invalid(
      `${path} is a view of another kind than Uint8Array; pass new Uint8Array(view.buffer, view.byteOffset, view.byteLength)`,
    );
  } else {
    writer.byte(9);
    writeMap(writer, value, path, depth + 1, end);
  }
}

function writeList(writer: Writer, values: readonly unknown[], path: string, depth: number, end: number): void {
  checkDepth(path, depth);
  writer.byte(8);
  writer.word(values.length);
  for (let at = 0; at < values.length; at++) {
    // As JSON has it: what is missing in a list is null.
    writeValue(writer, values[at] ?? null, `${path}[${at}]`, depth, end);
  }
}

function checkDepth(path: string, depth: number): void {
  if (depth > DEPTH_MAX) {
    throw invalid(
      `${path.slice(0, 60)}… nests deeper than ${DEPTH_MAX}, or holds itself; flatten it or put it into the body`,
    );
  }
}

/** What a message carries beside its body. */
export interface Properties {
  key: string | undefined;
  contentType: string | undefined;
  correlationId: string | undefined;
  replyTo: string | undefined;
  headers: Headers;
}

/** The properties of a message that the engine wrote. */
export function readProperties(bytes: Uint8Array): Properties {
  const properties: Properties = {
    key: undefined,
    contentType: undefined,
    correlationId: undefined,
    replyTo: undefined,
    headers: {},
  };
  const reader = new Reader(bytes);
  while (!reader.done) {
    const tag = reader.byte();
    if (tag === 1) properties.key = reader.text();
    else if (tag === 2) properties.contentType = reader.text();
    else if (tag === 3) properties.correlationId = reader.text();
    else if (tag === 4) properties.replyTo = reader.text();
    else if (tag === 6) properties.contentType = "text/plain; charset=utf-8";
    else if (tag === 7) properties.contentType = "application/json";
    else properties.headers = reader.map();
  }
  return properties;
}
