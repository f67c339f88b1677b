// What a page has to load: the WebAssembly module, its glue and the public API, each gzipped, without the testing hooks. Prints JSON.
//
//   node benches/node/size.mjs

import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const DIST = new URL("../../wasm/dist/", import.meta.url);

/** The inline module is the same WebAssembly again, as text for bundlers; the testing hooks are not loaded by a page. */
const counts = (name) => /\.(js|wasm)$/.test(name) && !/^(inline|testing)/.test(name);

function gzipped(directory) {
  const names = readdirSync(directory).filter(counts).sort();
  return names.map((name) => ({ name, bytes: gzipSync(readFileSync(new URL(name, directory)), { level: 9 }).length }));
}

const total = (files) => files.reduce((sum, file) => sum + file.bytes, 0);
const native = gzipped(new URL("native/", DIST));
const api = gzipped(DIST);
const report = { module_and_glue: total(native), public_api: total(api), files: [...native, ...api] };
console.log(JSON.stringify(report, null, 2));
