// Bytes that grow, little-endian, as the engine's `wire.rs` reads them.

const UTF8 = new TextEncoder();
/** A text so short is copied letter by letter, as long as it is ASCII: faster than a call of the encoder. */
const SHORT = 40;
/** A buffer larger than this is given back after the call that needed it. */
const BYTES_KEPT = 1 << 20;

/** What stands before a body without properties: two lengths, no delay, no ttl, priority 0. */
const PLAIN = plainHead();

function plainHead(): Uint8Array {
  const head = new DataView(new ArrayBuffer(28));
  head.setFloat64(8, Number.NaN, true);
  head.setFloat64(16, Number.NaN, true);
  return new Uint8Array(head.buffer);
}

export class Writer {
  bytes = new Uint8Array(256);
  length = 0;
  #view = new DataView(this.bytes.buffer);

  /** Begins anew. */
  reset(): void {
    this.length = 0;
    if (this.bytes.length > BYTES_KEPT) this.#allocate(256);
  }

  byte(value: number): void {
    this.#room(1);
    this.bytes[this.length++] = value;
  }

  word(value: number): void {
    this.#room(4);
    this.#view.setUint32(this.length, value, true);
    this.length += 4;
  }

  /** Some words of `source`, from `at`. */
  words(source: Uint32Array, at: number, count: number): void {
    this.#room(4 * count);
    for (let place = 0; place < count; place++) {
      this.#view.setUint32(this.length, source[at + place] as number, true);
      this.length += 4;
    }
  }

  /** Overwrites the word at `at`. */
  wordAt(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }

  float(value: number): void {
    this.#room(8);
    this.#view.setFloat64(this.length, value, true);
    this.length += 8;
  }

  long(value: bigint): void {
    this.#room(8);
    this.#view.setBigInt64(this.length, value, true);
    this.length += 8;
  }

  raw(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** A whole message that is nothing but bytes: what `writeMessage` would write, in two copies. */
  plainMessage(body: Uint8Array): void {
    this.#room(PLAIN.length + body.length);
    this.bytes.set(PLAIN, this.length);
    this.#view.setUint32(this.length + 4, body.length, true);
    this.length += PLAIN.length;
    this.bytes.set(body, this.length);
    this.length += body.length;
  }

  /** UTF-8, without its length. */
  letters(text: string): void {
    if (text.length <= SHORT && this.#ascii(text)) return;
    this.#room(text.length * 3);
    this.length += UTF8.encodeInto(text, this.bytes.subarray(this.length)).written;
  }

  /** UTF-8, its length before it. */
  text(text: string): void {
    const at = this.length;
    this.word(0);
    this.letters(text);
    this.wordAt(at, this.length - at - 4);
  }

  #ascii(text: string): boolean {
    this.#room(text.length);
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0x7f) return false;
      this.bytes[this.length + i] = code;
    }
    this.length += text.length;
    return true;
  }

  #room(more: number): void {
    if (this.length + more <= this.bytes.length) return;
    const old = this.bytes;
    this.#allocate(Math.max(this.length + more, old.length * 2));
    this.bytes.set(old.subarray(0, this.length));
  }

  #allocate(length: number): void {
    this.bytes = new Uint8Array(length);
    this.#view = new DataView(this.bytes.buffer);
  }
}
