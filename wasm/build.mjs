// Builds the npm package into wasm/dist: cargo -> wasm-bindgen -> wasm-opt -> inlining -> tsc -> esbuild. Does nothing when nothing changed.
//
//   node wasm/build.mjs [--force]
//
// FERRYMQ_WASM_CARGO   rustup (default): the toolchain in PATH, which has the target wasm32-unknown-unknown.
//                      debian: Debian's rustc and cargo in /usr/bin, with Debian's rust-web-src.
//
// Where the standard library's source is (rustup component add rust-src; rust-web-src), it is compiled along, for size and without the texts of
// panics: a fifth of the module. These are options that the compiler does not call stable yet. Without the source the module is larger, and the same.
//
// FERRYMQ_WASM_BINDGEN the wasm-bindgen program; default: target/tools/bin, then cargo's, then PATH. It must be of the crate's version.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = dirname(HERE);
const PKG = join(HERE, "pkg");
const DIST = join(HERE, "dist");
// Two modules from one crate (docs/decisions/0012-two-modules.md): without the log, which a page loads, and with it, which is loaded when a store is asked for.
const MODULES = [
  { directory: join(PKG, "native"), file: "ferrymq.wasm", features: ["--no-default-features"] },
  {
    directory: join(PKG, "store"),
    file: "ferrymq.store.wasm",
    features: ["--no-default-features", "--features=store"],
  },
];
const TARGET = "wasm32-unknown-unknown";
const WASM = "ferrymq_wasm_bg.wasm";
const LINKER = "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER";
// Inlining what is smaller inline makes the module smaller and faster than opt-level "z" by itself.
const RUSTC_FLAGS = [
  "-Zunstable-options",
  "-Cpanic=immediate-abort",
  "-Zfmt-debug=none",
  "-Zlocation-detail=none",
  "-Cllvm-args=-inline-threshold=15",
];
// What every message passes beside the engine: a fifth faster for 2 KB.
const FASTER = ["profile.wasm.package.dlmalloc.opt-level=3", 'profile.wasm.package.ferrymq-wasm.opt-level="s"'];
const ENTRIES = ["node", "browser", "testing.node", "testing.browser"];
const BINDGEN_VERSION = "0.2.130";
// The stack is what lies lowest: no address below 1,024 is ever used on purpose, which lets offsets be folded. Twice finds a little more than once.
const WASM_OPT = ["--low-memory-unused", "-O3", "-O3"];
// Of what Rust emits for this target, what every browser of the last years runs.
const WASM_FEATURES = [
  "--enable-bulk-memory",
  "--enable-mutable-globals",
  "--enable-nontrapping-float-to-int",
  "--enable-sign-ext",
  "--enable-multivalue",
  "--enable-reference-types",
];

const toolchain = process.env.FERRYMQ_WASM_CARGO ?? "rustup";
if (!["rustup", "debian"].includes(toolchain)) {
  fail(`FERRYMQ_WASM_CARGO is ${JSON.stringify(toolchain)}; set it to rustup or debian`);
}

const force = process.argv.includes("--force");
const nativeStamp = `${toolchain} ${hash([
  "Cargo.toml",
  "Cargo.lock",
  "core/Cargo.toml",
  "core/src",
  "wasm/Cargo.toml",
  "wasm/src",
  "wasm/build.mjs",
  "wasm/package-lock.json",
])}`;
if (force || stale(join(PKG, "stamp"), nativeStamp)) {
  buildNative();
  writeFileSync(join(PKG, "stamp"), nativeStamp);
}

const distStamp = `${nativeStamp} ${hash(["wasm/ts", "wasm/tsconfig.json", "wasm/package.json"])}`;
if (force || stale(join(DIST, ".stamp"), distStamp)) {
  buildTypeScript();
  writeFileSync(join(DIST, ".stamp"), distStamp);
}

function buildNative() {
  rmSync(PKG, { recursive: true, force: true });
  for (const { directory, features } of MODULES) buildModule(directory, features);
}

function buildModule(directory, features) {
  mkdirSync(directory, { recursive: true });
  const built = cargo(features);
  run(bindgen(), [
    "--target",
    "web",
    "--omit-default-module-path",
    "--remove-producers-section",
    "--remove-name-section",
    "--out-dir",
    directory,
    built,
  ]);
  const wasm = join(directory, WASM);
  run(tool("wasm-opt"), [...WASM_OPT, ...WASM_FEATURES, "--strip-debug", "--strip-producers", "-o", wasm, wasm]);
  writeInline(directory);
}

/** Compiles the crate with these features; returns where the module is, until the next time. */
function cargo(features) {
  const args = ["build", "-p", "ferrymq-wasm", "--lib", "--profile", "wasm", "--target", TARGET, ...features];
  const shared = process.env.CARGO_TARGET_DIR ?? join(ROOT, "target");
  const program = toolchain === "debian" ? "/usr/bin/cargo" : (process.env.CARGO ?? "cargo");
  const env = toolchain === "debian" ? { RUSTC: "/usr/bin/rustc", [LINKER]: rustLld() } : {};
  const rustc = toolchain === "debian" ? "/usr/bin/rustc" : "rustc";
  if (!existsSync(join(sysroot(rustc), "lib", "rustlib", "src", "rust", "library", "std"))) {
    if (toolchain === "debian") fail("Debian's rust-web-src is missing; install it with apt-get");
    console.error(
      "wasm/build.mjs: no source of the standard library (rustup component add rust-src): the module will be larger",
    );
    run(program, args);
    return join(shared, TARGET, "wasm", "ferrymq_wasm.wasm");
  }
  // Another standard library than everybody else's: it has a target directory of its own.
  const own = join(shared, `wasm-${toolchain}`);
  const std = ["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=optimize_for_size"];
  for (const setting of FASTER) std.push("--config", setting);
  run(program, [...args, ...std], {
    ...env,
    RUSTC_BOOTSTRAP: "1",
    RUSTFLAGS: RUSTC_FLAGS.join(" "),
    CARGO_TARGET_DIR: own,
  });
  return join(own, TARGET, "wasm", "ferrymq_wasm.wasm");
}

function sysroot(rustc) {
  return execFileSync(rustc, ["--print", "sysroot"], { encoding: "utf8" }).trim();
}

/** The linker for wasm: Debian's, or that of the rustup toolchain. */
function rustLld() {
  const candidates = ["/usr/bin/rust-lld", "/usr/bin/wasm-ld"];
  try {
    const host = /host: (.*)/.exec(execFileSync("rustc", ["-vV"], { encoding: "utf8" }))[1];
    candidates.unshift(join(sysroot("rustc"), "lib", "rustlib", host, "bin", "rust-lld"));
  } catch {
    // No rustup toolchain in PATH: Debian's own linker does.
  }
  return (
    candidates.find(existsSync) ?? fail(`no linker for wasm among ${candidates.join(", ")}; install the package lld`)
  );
}

function bindgen() {
  const candidates = [
    process.env.FERRYMQ_WASM_BINDGEN,
    join(ROOT, "target", "tools", "bin", "wasm-bindgen"),
    join(process.env.CARGO_HOME ?? join(homedir(), ".cargo"), "bin", "wasm-bindgen"),
    "wasm-bindgen",
  ].filter(Boolean);
  for (const candidate of candidates) {
    try {
      const version = execFileSync(candidate, ["--version"], { encoding: "utf8", stdio: "pipe" }).trim().split(" ")[1];
      if (version === BINDGEN_VERSION) return candidate;
      console.error(`${candidate} is of version ${version}, not ${BINDGEN_VERSION}: not used`);
    } catch {
      // Not there: the next one.
    }
  }
  return fail(
    `no wasm-bindgen ${BINDGEN_VERSION}; install it: cargo install wasm-bindgen-cli --version ${BINDGEN_VERSION}`,
  );
}

/** The module as text in a JavaScript module, for browsers and bundlers. */
function writeInline(directory) {
  const text = gzipSync(readFileSync(join(directory, WASM)), { level: 9 }).toString("base64");
  writeFileSync(join(directory, "inline.js"), `export const MODULE_GZIP_BASE64 =\n  "${text}";\n`);
  writeFileSync(join(directory, "inline.d.ts"), "export declare const MODULE_GZIP_BASE64: string;\n");
}

function buildTypeScript() {
  const compiled = join(PKG, "ts");
  rmSync(compiled, { recursive: true, force: true });
  rmSync(DIST, { recursive: true, force: true });
  mkdirSync(DIST, { recursive: true });
  run(tool("tsc"), ["-p", join(HERE, "tsconfig.json")]);
  for (const { directory } of MODULES) {
    const beside = join(compiled, basename(directory));
    mkdirSync(beside);
    for (const file of ["ferrymq_wasm.js", "inline.js"]) copyFileSync(join(directory, file), join(beside, file));
  }
  run(tool("esbuild"), [
    ...ENTRIES.map((entry) => join(compiled, `${entry}.js`)),
    "--bundle",
    "--splitting",
    "--minify",
    "--format=esm",
    "--target=es2022",
    "--platform=neutral",
    "--external:node:*",
    "--chunk-names=chunk-[hash]",
    "--log-level=warning",
    `--outdir=${DIST}`,
  ]);
  for (const { directory, file } of MODULES) copyFileSync(join(directory, WASM), join(DIST, file));
  for (const file of declarations(compiled)) copyFileSync(join(compiled, file), join(DIST, file));
}

/** The declarations that the entries lead to. */
function declarations(directory) {
  const found = new Set();
  const follow = (file) => {
    if (found.has(file)) return;
    found.add(file);
    const text = readFileSync(join(directory, file), "utf8");
    for (const [, name] of text.matchAll(/from "\.\/([^"]+)\.js"/g)) follow(`${name}.d.ts`);
  };
  for (const entry of ENTRIES) follow(`${entry}.d.ts`);
  return found;
}

function tool(name) {
  const path = join(HERE, "node_modules", ".bin", name);
  return existsSync(path) ? path : fail(`${relative(ROOT, path)} is missing; run: npm ci --prefix wasm`);
}

/** One hash over all files under these paths of the repository. */
function hash(paths) {
  const sum = createHash("sha256");
  const add = (path) => {
    if (statSync(path).isDirectory()) {
      for (const name of readdirSync(path).sort()) add(join(path, name));
    } else {
      sum
        .update(`${relative(ROOT, path)}\0`)
        .update(readFileSync(path))
        .update("\0");
    }
  };
  for (const path of paths) add(join(ROOT, path));
  return sum.digest("hex");
}

function stale(file, stamp) {
  return !existsSync(file) || readFileSync(file, "utf8") !== stamp;
}

function run(program, args, env = {}) {
  try {
    execFileSync(program, args, {
      cwd: ROOT,
      stdio: ["ignore", "inherit", "inherit"],
      env: { ...process.env, ...env },
    });
  } catch (error) {
    fail(`${program} ${args.join(" ")}: ${error.status === undefined ? error.message : `exit ${error.status}`}`);
  }
}

function fail(message) {
  console.error(`wasm/build.mjs: ${message}`);
  process.exit(1);
}
