// What has to be loaded, gzipped. `module_and_glue`: the WebAssembly module without a store, which a page loads, and wasm-bindgen's JavaScript as it is shipped (minified). `everything`: that module
// and all JavaScript that the package's entry leads to, glue and public API. `store_module_and_glue`: the module with a store, which is loaded only when one is asked for. Prints JSON.
//
//   node benches/node/size.mjs

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { gzipSync } from "node:zlib";

const WASM = new URL("../../wasm/", import.meta.url);
const { transformSync } = createRequire(new URL("package.json", WASM))("esbuild");

const read = (name) => readFileSync(new URL(name, WASM));
const gzipped = (bytes) => gzipSync(bytes, { level: 9 }).length;
const minified = (name) => transformSync(read(name), { minify: true }).code;

/** The entry that loads the module as a file, and what it imports at once. */
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
const glue = gzipped(minified("pkg/native/ferrymq_wasm.js"));
const everything = [...scripts("node.js")].reduce((sum, name) => sum + gzipped(read(`dist/${name}`)), module);
const store = gzipped(read("dist/ferrymq.store.wasm")) + gzipped(minified("pkg/store/ferrymq_wasm.js"));
console.log(
  JSON.stringify({ module, glue, module_and_glue: module + glue, everything, store_module_and_glue: store }, null, 2),
);
