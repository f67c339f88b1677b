// What the engine wrote, as its `wire.rs` has it.

import type { Headers, HeaderValue } from "./api.js";

// A byte order mark is part of the text: what was sent comes out.
const UTF8 = new TextDecoder("utf-8", { ignoreBOM: true });

export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  byte(): number {
    return this.#view.getUint8(this.#at++);
  }

  text(): string {
    return UTF8.decode(this.#raw());
  }

  /** 64 bits with a sign. */
  long(): bigint {
    const value = this.#view.getBigInt64(this.#at, true);
    this.#at += 8;
    return value;
  }

  map(): Headers {
    const headers: Headers = {};
    for (let left = this.#word(); left > 0; left--) {
      const name = this.text();
      const value = this.#value();
      // A plain assignment to "__proto__" would set the prototype.
      if (name === "__proto__") {
        Object.defineProperty(headers, name, { value, enumerable: true, writable: true, configurable: true });
      } else {
        headers[name] = value;
      }
    }
    return headers;
  }

  #value(): HeaderValue {
    switch (this.byte()) {
      case 0:
        return null;
      case 1:
        return false;
      case 2:
        return true;
      case 3: {
        const value = this.long();
        return Number.isSafeInteger(Number(value)) ? Number(value) : value;
      }
      case 4: {
        const value = this.#view.getFloat64(this.#at, true);
        this.#at += 8;
        return value;
      }
      case 5:
        return this.text();
      case 6:
        return this.#raw().slice();
      case 7:
        return new Date(Number(this.long()));
      case 8:
        return Array.from({ length: this.#word() }, () => this.#value());
      default:
        return this.map();
    }
  }

  #word(): number {
    const value = this.#view.getUint32(this.#at, true);
    this.#at += 4;
    return value;
  }

  #raw(): Uint8Array {
    const length = this.#word();
    const bytes = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return bytes;
  }
}
