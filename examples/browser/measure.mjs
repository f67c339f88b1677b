// What a worker finds out about one file.

/** Says that a file's bytes are not text. */
export class Undecodable extends Error {}

const MARKS = [
  { mark: [0xef, 0xbb, 0xbf], encoding: "utf-8" },
  { mark: [0xff, 0xfe], encoding: "utf-16le" },
  { mark: [0xfe, 0xff], encoding: "utf-16be" },
];

/** A file's encoding: what its byte order mark says, otherwise UTF-8. */
export function encodingOf(bytes) {
  const found = MARKS.find(({ mark }) => mark.every((byte, at) => bytes[at] === byte));
  return found?.encoding ?? "utf-8";
}

/** Size in bytes, lines (line feeds, and one more for an unfinished last line), SHA-256, encoding. Throws `Undecodable`. */
export async function measure(bytes) {
  const encoding = encodingOf(bytes);
  let text;
  try {
    text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    throw new Undecodable(`not ${encoding.toUpperCase()} text`);
  }
  const feeds = text.split("\n").length - 1;
  const unfinished = text.length > 0 && !text.endsWith("\n") ? 1 : 0;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return { bytes: bytes.length, lines: feeds + unfinished, sha256, encoding };
}
