// What a page has to load. `module_and_glue`: the WebAssembly module and wasm-bindgen's JavaScript as it is shipped (minified). `everything`: the module and all JavaScript that the
// package's entry leads to, glue and public API. Gzipped. Prints JSON.
//
//   node benches/node/size.mjs

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { gzipSync } from "node:zlib";

const WASM = new URL("../../wasm/", import.meta.url);
const { transformSync } = createRequire(new URL("package.json", WASM))("esbuild");

const read = (name) => readFileSync(new URL(name, WASM));
const gzipped = (bytes) => gzipSync(bytes, { level: 9 }).length;

/** The entry that loads the module as a file, and what it imports. */
function scripts(name, found = new Set()) {
  if (found.has(name)) return found;
  found.add(name);
  const imports = read(`dist/${name}`)
    .toString()
    .matchAll(/(?:from|import)\s*"\.\/([^"]+\.js)"/g);
  for (const [, imported] of imports) scripts(imported, found);
  return found;
}

const module = gzipped(read("dist/ferrymq.wasm"));
const glue = gzipped(transformSync(read("pkg/native/ferrymq_wasm.js"), { minify: true }).code);
const all = [...scripts("node.js")].reduce((sum, name) => sum + gzipped(read(`dist/${name}`)), module);
console.log(JSON.stringify({ module, glue, module_and_glue: module + glue, everything: all }, null, 2));
