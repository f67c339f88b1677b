// Browsers and bundlers: the module is part of the JavaScript, so that no bundler has to find, copy and serve a second file. It is gzipped
// before it becomes text, which costs 2 % over the bare file on the wire; text of the raw bytes would cost over 40 %.

import { MODULE_GZIP_BASE64 } from "./native/inline.js";

/** Unpacks the module from the text. */
export async function load(): Promise<Uint8Array<ArrayBuffer>> {
  const packed = Uint8Array.from(atob(MODULE_GZIP_BASE64), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
