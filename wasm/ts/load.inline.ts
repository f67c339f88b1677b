// Browsers and bundlers: a module is part of the JavaScript, so that no bundler has to find, copy and serve a second file. It is gzipped
// before it becomes text, which costs 2 % over the bare file on the wire; text of the raw bytes would cost over 40 %.

import type { Load } from "./engine.js";

/** Unpacks a module from its text. */
export function unpacked(text: string): Load {
  return async () => {
    const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };
}
