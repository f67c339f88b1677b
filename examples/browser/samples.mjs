// A built-in set of files, the same every time: text in several encodings, and some that is none.

const WORDS =
  "queue lease ack retry delay ferry harbour tide crate manifest pilot rope anchor ledger quay signal".split(" ");

/** Numbers from 0 up to 1, the same for the same seed (mulberry32). */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function prose(next, lines) {
  const line = () => Array.from({ length: 3 + Math.floor(next() * 9) }, () => WORDS[Math.floor(next() * WORDS.length)]);
  return Array.from({ length: lines }, () => line().join(" ")).join("\n");
}

function utf16(text, littleEndian) {
  const view = new DataView(new ArrayBuffer(2 + text.length * 2));
  view.setUint16(0, 0xfeff, littleEndian);
  for (let at = 0; at < text.length; at++) view.setUint16(2 + at * 2, text.charCodeAt(at), littleEndian);
  return new Uint8Array(view.buffer);
}

/** The sample files: `{ path, read }`, where `read` resolves with the bytes. */
export function samples() {
  const next = random(20_240_601);
  const utf8 = new TextEncoder();
  const files = [];
  const add = (path, bytes) => files.push({ path, read: async () => bytes });
  for (let i = 0; i < 300; i++) {
    const lines = Math.floor(next() ** 3 * 4000);
    const text = prose(next, lines) + (next() < 0.8 ? "\n" : "");
    const name = `${WORDS[i % WORDS.length]}-${String(i).padStart(3, "0")}`;
    if (i % 60 === 7) add(`notes/${name}.utf16le.txt`, utf16(text, true));
    else if (i % 60 === 27) add(`notes/${name}.utf16be.txt`, utf16(text, false));
    else if (i % 60 === 41) add(`letters/${name}.txt`, utf8.encode(`\ufeffgrüße, ${text} – ✓\n`));
    else if (i % 40 === 13)
      add(
        `photos/${name}.raw`,
        Uint8Array.from({ length: 5000 }, () => Math.floor(next() * 256)),
      );
    else if (i % 75 === 50) add(`letters/${name}.latin1.txt`, Uint8Array.of(0x67, 0x72, 0xfc, 0xdf, 0x65, 0x0a));
    else if (i % 100 === 99) add(`empty/${name}`, new Uint8Array(0));
    else add(`logs/${name}.log`, utf8.encode(text));
  }
  add("photos/unreadable.raw", new Uint8Array(0));
  files.at(-1).read = async () => {
    throw new Error("the device does not answer");
  };
  return files;
}
