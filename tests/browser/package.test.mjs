// Proves the package in a real browser with real time: on the page's own thread, in a worker, bundled into one file, and under a policy that allows no eval.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { serve } from "../../examples/browser/serve.mjs";
import { launch } from "./chromium.mjs";

const PACKAGE = fileURLToPath(new URL("../../wasm/", import.meta.url));
const POLICY = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'";

// Runs in the page and in the worker; says what it saw.
const PROGRAM = `
export async function program({ open, FerryError }) {
  const seen = [];
  const broker = await open({ name: "test" });
  const queue = await broker.queue("q", { lease: 40 });
  await queue.produce({ n: 1 }, { delay: 20, headers: { at: new Date(5) } });
  seen.push(await queue.consume());
  const first = await queue.consume({ timeout: 5000 });
  seen.push(first.json(), first.headers.at.getTime(), first.attempt);
  const again = await queue.consume({ timeout: 5000 });
  seen.push(again.attempt, await first.ack().catch((error) => error instanceof FerryError && error.code));
  await again.ack();
  seen.push(await queue.consume({ timeout: 10 }));
  seen.push(await queue.consume({ timeout: null, signal: AbortSignal.timeout(10) }).catch((error) => error.name));
  const lines = [];
  const log = { debug() {}, warn: (line) => lines.push(line), error: (line, error) => lines.push(error.message) };
  const other = await open({ log });
  const jobs = await other.queue("jobs", { lease: 40 });
  const attempts = [];
  // Three leases long: it is renewed while its handler runs.
  const sub = jobs.subscribe(async (job) => {
    attempts.push(job.attempt);
    await new Promise((resolve) => setTimeout(resolve, 120));
    if (job.replyTo === undefined) throw new Error("nobody asked");
    await job.reply(job.json() + 1);
  });
  seen.push((await jobs.request(41)).json(), [...attempts]);
  await jobs.produce("x");
  const bus = await other.bus();
  const event = new Promise((resolve) => bus.addEventListener("a.*", resolve, { once: true }));
  await bus.publish("a.b", { n: 2 });
  const { type, topic, message } = await event;
  seen.push(type, topic, message.json().n);
  const alert = await new Promise((resolve) => other.alarm({ queue: "jobs", above: 0 }, resolve));
  seen.push(alert.condition, await sub.stop(), lines, (await other.metrics()).includes('ferrymq_queue_nacked_total{queue="jobs"} 1'));
  await other.close();
  const waiting = queue.consume({ timeout: null }).catch((error) => error.code);
  await queue.stats();
  await broker.close();
  seen.push(await waiting);
  return seen;
}`;
const TALKED = [42, [1], "a.*", "a.b", 2, "above", true, ["nobody asked"], true];
const SEEN = [undefined, { n: 1 }, 5, 1, 2, "LeaseLost", undefined, "TimeoutError", ...TALKED, "Closed"];

const PAGE = (script) =>
  `<!doctype html><meta http-equiv="Content-Security-Policy" content="${POLICY}"><title>FerryMQ</title><script type="module" src="${script}"></script>`;
const ANSWER = "document.title = JSON.stringify(seen.map((each) => each ?? null));";

let server;
let browser;
let directory;

before(async () => {
  directory = mkdtempSync(join(tmpdir(), "ferrymq-bundle-"));
  const library = 'import { open, FerryError } from "/wasm/dist/browser.js";';
  const worker = `${library} import { program } from "/program.mjs"; self.postMessage(await program({ open, FerryError }));`;
  server = await serve({
    "/program.mjs": PROGRAM,
    "/page.html": PAGE("/page.mjs"),
    "/page.mjs": `${library} import { program } from "/program.mjs"; const seen = await program({ open, FerryError }); ${ANSWER}`,
    "/worker.html": PAGE("/starts-worker.mjs"),
    "/starts-worker.mjs": `new Worker("/worker.mjs", { type: "module" }).onmessage = ({ data: seen }) => { ${ANSWER} };`,
    "/worker.mjs": worker,
    "/bundle.html": PAGE("/bundle.mjs"),
    "/bundle.mjs": bundle(),
  });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.close();
  rmSync(directory, { recursive: true, force: true });
});

/** A program and the package made one file, as a bundler does for browsers by default. */
function bundle() {
  writeFileSync(join(directory, "program.mjs"), PROGRAM);
  const main = `import { open, FerryError } from "ferrymq"; import { program } from "./program.mjs"; const seen = await program({ open, FerryError }); ${ANSWER}`;
  writeFileSync(join(directory, "main.mjs"), main);
  const out = join(directory, "out.mjs");
  execFileSync(join(PACKAGE, "node_modules", ".bin", "esbuild"), [
    join(directory, "main.mjs"),
    "--bundle",
    "--format=esm",
    "--platform=browser",
    `--alias:ferrymq=${join(PACKAGE, "dist", "browser.js")}`,
    "--log-level=error",
    `--outfile=${out}`,
  ]);
  return readFileSync(out, "utf8");
}

for (const [where, path] of [
  ["on the page's own thread", "page"],
  ["in a worker", "worker"],
  ["bundled into one file", "bundle"],
]) {
  test(`waits, leases, aborts and close work ${where}`, async () => {
    const page = await browser.newPage();
    const complaints = [];
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    await page.goto(`${server.url}/${path}.html`);
    await page.waitForFunction(() => document.title.startsWith("["), undefined, { timeout: 10_000 }).catch(() => {});
    assert.deepEqual(complaints, []);
    assert.deepEqual(JSON.parse(await page.title()), JSON.parse(JSON.stringify(SEEN)));
    await page.close();
  });
}

test("without WebAssembly the refusal says what to do", async () => {
  const page = await browser.newPage();
  await page.addInitScript(() => delete globalThis.WebAssembly);
  await page.goto(`${server.url}/program.mjs`);
  const { code, message } = await page.evaluate(async () => {
    const { open } = await import("/wasm/dist/browser.js");
    return open().catch(({ code, message }) => ({ code, message }));
  });
  assert.equal(code, "Unavailable");
  assert.match(message, /wasm-unsafe-eval/);
  await page.close();
});
