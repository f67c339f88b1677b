// Proves the package as it is shipped: its size, its types, and that the packed tarball works in a project of its own.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const PACKAGE = fileURLToPath(new URL("../../wasm/", import.meta.url));
const DIST = join(PACKAGE, "dist");
const ESBUILD = join(PACKAGE, "node_modules", ".bin", "esbuild");
const TSC = join(PACKAGE, "node_modules", ".bin", "tsc");

function gzipped(file) {
  return gzipSync(readFileSync(file), { level: 9 }).length;
}

/** A file of dist and all that it imports. */
function withImports(file, found = new Set()) {
  if (found.has(file)) return found;
  found.add(file);
  const text = readFileSync(file, "utf8");
  for (const [, path] of text.matchAll(/(?:from|import)\s*"(\.\/[^"]+)"/g))
    withImports(join(dirname(file), path), found);
  return found;
}

/** A module and its glue as they are shipped: the glue minified, like everything around it. */
function moduleAndGlue(directory, file) {
  const glue = execFileSync(ESBUILD, [join(PACKAGE, "pkg", directory, "ferrymq_wasm.js"), "--minify", "--format=esm"]);
  const sizes = { module: gzipped(join(DIST, file)), glue: gzipSync(glue, { level: 9 }).length };
  console.log(file, sizes);
  return sizes.module + sizes.glue;
}

test("the module with its glue has at most 100 KB, gzipped", () => {
  const size = moduleAndGlue("native", "ferrymq.wasm");
  assert.ok(size <= 100_000, `${size} bytes`);
});

test("the module with a store and its glue have at most 138 KB, gzipped", () => {
  const size = moduleAndGlue("store", "ferrymq.store.wasm");
  assert.ok(size <= 138_000, `${size} bytes`);
});

test("all that a page or a program loads, the API included, has at most 112 KB, gzipped", () => {
  const total = (entry) => [...withImports(join(DIST, entry))].reduce((sum, file) => sum + gzipped(file), 0);
  const sizes = { browser: total("browser.js"), node: total("node.js") + gzipped(join(DIST, "ferrymq.wasm")) };
  console.log(sizes);
  for (const [entry, size] of Object.entries(sizes)) assert.ok(size <= 112_000, `${entry}: ${size} bytes`);
});

test("every public name says what it is", () => {
  const api = readFileSync(join(PACKAGE, "ts", "api.ts"), "utf8");
  const undocumented = [...api.matchAll(/\n\n(export (?:interface|type) \w+)/g)].map(([, name]) => name);
  const plain = [
    "export interface ProduceOptions",
    "export interface PublishOptions",
    "export interface ConsumeOptions",
  ];
  assert.deepEqual(
    undocumented.filter((name) => !plain.includes(name)),
    [],
  );
});

/** Compiles a program against the declarations; returns the compiler's complaints. */
function complaints(directory, program, options) {
  writeFileSync(join(directory, "program.ts"), program);
  try {
    execFileSync(
      TSC,
      ["--noEmit", "--strict", "--target", "ES2022", "--module", "NodeNext", ...options, "program.ts"],
      { cwd: directory, stdio: "pipe" },
    );
    return [];
  } catch (error) {
    return error.stdout.toString().trim().split("\n");
  }
}

const PROGRAM = `
import { open, outgoing, FerryError, type Broker, type BusEvent, type Delivery, type ErrorCode, type Handler, type QueueStats, type Subscription } from "ferrymq";
import { openTesting } from "ferrymq/testing";
const broker: Broker = await open({ storage: "memory" });
const orders = await broker.queue("orders", { maxAttempts: 5, deadLetter: ["e", "k"], lease: 30_000, backoff: { jitter: 0 } });
const id: bigint = await orders.produce({ id: 1 }, { delay: 500, key: "a", headers: { n: 1n, at: new Date() } });
class Order { constructor(readonly id: number) {} }
const ids: bigint[] = await orders.produceMany([new Uint8Array(2), "a", new Order(1), outgoing(["b"], { priority: 0 })]);
const delivery: Delivery | undefined = await orders.consume({ timeout: null, signal: new AbortController().signal });
const order = delivery?.json<{ id: number }>().id.toFixed();
await delivery?.nack({ delay: 5, reason: "later" });
const stats: QueueStats = await orders.stats();
const sum: number = await broker.transaction(async (tx) => { tx.produce(orders, "x"); return stats.size; });
try { await orders.ackMany([delivery!]); } catch (error) {
  if (error instanceof FerryError) { const code: ErrorCode = error.code; console.log(code, error.lost?.length, error.retryable, sum, ids, id, order); }
}
for await (const each of orders.consumer({ prefetch: 10, signal: new AbortController().signal })) { await each.ack(); break; }
const ship: Handler = async (each, { signal }) => { signal.throwIfAborted(); await each.reply({ shipped: true }); };
const sub: Subscription = orders.subscribe(ship, { concurrency: 2 });
const shipped: boolean = (await orders.request({ id: 2 }, { timeout: 1000 })).json<{ shipped: boolean }>().shipped;
const finished: boolean = await sub.stop({ timeout: null });
const bus = await broker.bus();
bus.addEventListener("order.*", (event: BusEvent) => console.log(event.topic, event.message.text()), { once: true });
await (await bus.subscribe("#", (event) => console.log(event.key), { name: "all" })).stop();
broker.alarm({ queue: "orders", above: 10 }, ({ condition, value }) => console.log(condition, value)).cancel();
const text: string = await broker.metrics();
console.log(shipped, finished, text, await sub.ended);
const { testing } = await openTesting({ storage: "manual" });
testing.advanceTo(5);
await broker.close();
`;

const WRONG = [
  ['await (await open()).queue("q", { capasity: 1 })', "capasity"],
  ['await (await (await open()).queue("q")).produce(5n)', "Body"],
  ['(await (await (await open()).queue("q")).consume()).ack()', "undefined"],
  ['await open({ storage: "cloud" })', "cloud"],
  ['(await (await open()).queue("q")).subscribe((delivery) => delivery.ackk())', "ackk"],
  ['(await (await open()).queue("q")).request("x", { replyTo: "y" })', "replyTo"],
  ["(await open()).alarm({ abov: 1 }, () => {})", "abov"],
  ["await open({ log: 5 })", "Log"],
];

test("the packed tarball works in a project of its own, with its types", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "ferrymq-pack-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const npm = (...args) => execFileSync("npm", args, { cwd: directory, stdio: "pipe", encoding: "utf8" });
  npm("pack", PACKAGE, "--pack-destination", directory);
  const tarball = readdirSync(directory).find((name) => name.endsWith(".tgz"));
  writeFileSync(join(directory, "package.json"), JSON.stringify({ name: "user", private: true, type: "module" }));
  npm("install", "--offline", "--no-audit", "--no-fund", `./${tarball}`);

  await t.test("one message", () => {
    const program = `import { open } from "ferrymq";
      const broker = await open();
      const queue = await broker.queue("q");
      await queue.produce({ hello: "world" });
      const delivery = await queue.consume();
      await delivery.ack();
      console.log(delivery.json().hello, await queue.size());
      await broker.close();`;
    writeFileSync(join(directory, "program.mjs"), program);
    assert.equal(execFileSync("node", ["program.mjs"], { cwd: directory, encoding: "utf8" }), "world 0\n");
  });
  await t.test("the browser's entry, on the server that renders the page", () => {
    const program = `import { open } from "ferrymq";
      const broker = await open();
      console.log((await broker.queues()).length);
      await broker.close();`;
    writeFileSync(join(directory, "program.mjs"), program);
    const args = ["--conditions=browser", "program.mjs"];
    assert.equal(execFileSync("node", args, { cwd: directory, encoding: "utf8" }), "0\n");
    const entry = "./node_modules/ferrymq/dist/browser.js";
    writeFileSync(join(directory, "entry.mjs"), program.replace("ferrymq", entry));
    assert.equal(execFileSync("node", ["entry.mjs"], { cwd: directory, encoding: "utf8" }), "0\n");
  });
  await t.test("a program that ends while somebody waits, and one that waits for a delay", () => {
    const program = `import { open } from "ferrymq";
      const broker = await open();
      const queue = await broker.queue("q");
      await queue.produce("later", { delay: 30 });
      const delivery = await queue.consume({ timeout: null });
      console.log(delivery.text());`;
    writeFileSync(join(directory, "program.mjs"), program);
    assert.equal(execFileSync("node", ["program.mjs"], { cwd: directory, encoding: "utf8" }), "later\n");
  });
  await t.test("the README's examples", () => {
    const readme = readFileSync(join(PACKAGE, "README.md"), "utf8");
    const printed = [...readme.matchAll(/```js\n(.*?)```/gs)].map(([, program]) => {
      writeFileSync(join(directory, "program.mjs"), program);
      return execFileSync("node", ["program.mjs"], { cwd: directory, encoding: "utf8" });
    });
    assert.deepEqual(printed, [
      "1 1\n",
      "3\n",
      "ferrymq: broker opened in memory\n6\norder.paid { id: 1 }\norder.paid { id: 1 }\nferrymq: broker closed\n",
    ]);
  });
  await t.test("types", () => {
    assert.deepEqual(complaints(directory, PROGRAM, []), []);
    assert.deepEqual(complaints(directory, PROGRAM, ["--lib", "ES2022,DOM", "--exactOptionalPropertyTypes"]), []);
  });
  await t.test("types that refuse", () => {
    for (const [wrong, hint] of WRONG) {
      const said = complaints(directory, `import { open } from "ferrymq";\n${wrong};`, []);
      assert.ok(
        said.some((line) => line.includes(hint)),
        `${wrong}: ${said.join("\n") || "compiles"}`,
      );
    }
  });
});
