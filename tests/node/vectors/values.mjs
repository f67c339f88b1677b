// Values as the vectors write them, and what a call gave beside what was expected of it. Only what is named is compared.

const UTF8 = new TextEncoder();
const TEXT = new TextDecoder();
const EXACT_MAX = 2n ** 53n;

/** The bytes of a body. */
export function body(value) {
  if (typeof value === "string") return UTF8.encode(value);
  if (has(value, "json")) return UTF8.encode(JSON.stringify(value.json));
  const bytes = hexForm(value);
  if (bytes !== undefined) return bytes;
  const text = repeatForm(value);
  if (text !== undefined) return UTF8.encode(text);
  throw new Error(`${JSON.stringify(value)} is no body; write a string, hex, repeat with times, or json`);
}

/** A header's value as the API takes it. */
export function header(value) {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(header);
  const form = hexForm(value) ?? repeatForm(value);
  if (form !== undefined) return form;
  if (has(value, "timestamp")) return new Date(value.timestamp);
  if (has(value, "float")) return value.float;
  if (has(value, "int")) return BigInt(value.int);
  return headers(value);
}

/** A table of headers as the API takes it. */
export function headers(table) {
  return new Map(Object.entries(table).map(([name, value]) => [name, header(value)]));
}

function has(value, name) {
  return typeof value === "object" && value !== null && Object.keys(value).length === 1 && name in value;
}

function hexForm(value) {
  if (!has(value, "hex") || typeof value.hex !== "string") return undefined;
  if (!/^([0-9a-f]{2})*$/i.test(value.hex)) throw new Error(`${JSON.stringify(value.hex)} is not hexadecimal`);
  return Uint8Array.from(value.hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

function repeatForm(value) {
  const isForm =
    typeof value === "object" && value !== null && Object.keys(value).length === 2 && typeof value.repeat === "string";
  return isForm && Number.isSafeInteger(value.times) ? value.repeat.repeat(value.times) : undefined;
}

/** A body that came out: expected as text, or as one of the forms of bodies. */
export class Body {
  constructor(bytes) {
    this.bytes = bytes;
  }
}

/** Compares what is named. Throws an Error that says where the first difference is. */
export function compare(expected, shown, path = "") {
  if (Array.isArray(expected) && Array.isArray(shown)) {
    expected.slice(0, shown.length).forEach((each, at) => {
      compare(each, shown[at], `${path}${at}.`);
    });
    if (expected.length === shown.length) return;
    throw new Error(`expected ${path}a list of ${expected.length}, got ${shown.length}`);
  }
  if (isFields(expected) && isFields(shown)) {
    for (const [name, value] of Object.entries(expected)) {
      compare(value, Object.hasOwn(shown, name) ? shown[name] : null, `${path}${name}.`);
    }
    return;
  }
  if (!same(expected, shown)) {
    const where = path === "" ? "" : `${path.slice(0, -1)} `;
    throw new Error(`expected ${where}${cut(JSON.stringify(expected))}, got ${brief(shown)}`);
  }
}

function isFields(value) {
  return (
    typeof value === "object" && value !== null && ![Array, Body, Uint8Array].some((kind) => value instanceof kind)
  );
}

function same(expected, shown) {
  if (shown instanceof Body) return bodyIs(expected, shown.bytes);
  if (shown instanceof Uint8Array) {
    const bytes = hexForm(expected);
    return bytes !== undefined && bytesAre(bytes, shown);
  }
  if (typeof shown === "bigint") {
    const large = shown > EXACT_MAX || shown < -EXACT_MAX;
    if (typeof expected === "string") return large && expected === String(shown);
    return typeof expected === "number" && !large && BigInt(expected) === shown;
  }
  return expected === (shown ?? null);
}

function bodyIs(expected, bytes) {
  if (expected === null) return false;
  if (!has(expected, "json")) return bytesAre(body(expected), bytes);
  try {
    return equal(JSON.parse(TEXT.decode(bytes)), expected.json);
  } catch {
    return false;
  }
}

function bytesAre(expected, shown) {
  return expected.length === shown.length && expected.every((byte, at) => byte === shown[at]);
}

function equal(a, b) {
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return a === b;
  const names = Object.keys(a);
  return (
    Array.isArray(a) === Array.isArray(b) &&
    names.length === Object.keys(b).length &&
    names.every((name) => Object.hasOwn(b, name) && equal(a[name], b[name]))
  );
}

/** For a sentence about a difference. */
export function brief(shown) {
  if (shown instanceof Body || shown instanceof Uint8Array) {
    return cut(JSON.stringify(TEXT.decode(shown instanceof Body ? shown.bytes : shown)));
  }
  if (Array.isArray(shown)) return `a list of ${shown.length}`;
  if (typeof shown === "bigint") return String(shown);
  if (isFields(shown))
    return "body" in shown ? `a message with body ${brief(shown.body)}` : `fields ${Object.keys(shown)}`;
  return cut(JSON.stringify(shown ?? null));
}

function cut(text) {
  return text.length > 60 ? `${text.slice(0, 60)}...` : text;
}

const MESSAGE_FIELDS = {
  attempt: "attempt",
  priority: "priority",
  redelivered: "redelivered",
  produced_at: "producedAt",
  queue: "queue",
  key: "key",
  content_type: "contentType",
  correlation_id: "correlationId",
  reply_to: "replyTo",
};

/** A message, as the vectors see it. */
export function shownMessage(message) {
  if (message === undefined) return null;
  const shown = { body: new Body(message.bytes()), headers: shownHeader(message.headers) };
  for (const [name, own] of Object.entries(MESSAGE_FIELDS)) shown[name] = message[own] ?? null;
  return shown;
}

function shownHeader(value) {
  if (value instanceof Date) return value.getTime();
  if (Array.isArray(value)) return value.map(shownHeader);
  if (!isFields(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, shownHeader(each)]));
}

/** Statistics, under the names that the vectors use. */
export function shownStats(stats) {
  return Object.fromEntries(
    Object.entries(stats).map(([name, value]) => [
      name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      value,
    ]),
  );
}
