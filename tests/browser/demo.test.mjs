// Proves the browser's main job: the page measures samples, chosen and dropped files as a plain computation does, and can be used by everybody.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { samples } from "../../examples/browser/samples.mjs";
import { serve } from "../../examples/browser/serve.mjs";
import { launch } from "./chromium.mjs";

const SHOTS = fileURLToPath(new URL("../../target/screenshots/", import.meta.url));

let server;
let browser;

before(async () => {
  server = await serve();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.close();
});

/** The page, opened, with its complaints. */
async function demo(options = {}) {
  const page = await browser.newPage({ viewport: { width: 1180, height: 1000 }, ...options });
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  await page.goto(`${server.url}/examples/browser/`);
  return { page, complaints };
}

async function totalsOf(page) {
  await page.waitForFunction(() => document.body.dataset.done !== undefined);
  return JSON.parse(await page.evaluate(() => document.body.dataset.done));
}

/** The same by itself: no queue, no page. Node's own decoder, line count and hash. */
async function plainly(files) {
  const totals = { measured: 0, bytes: 0, lines: 0, rejected: [], unreadable: [], sha256: new Map() };
  for (const { path, read } of files) {
    const bytes = await read().catch(() => undefined);
    if (bytes === undefined) {
      totals.unreadable.push(path);
      continue;
    }
    const mark = Buffer.from(bytes.subarray(0, 2)).toString("hex");
    const encoding = { fffe: "utf-16le", feff: "utf-16be" }[mark] ?? "utf-8";
    let text;
    try {
      text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
    } catch {
      totals.rejected.push(path);
      continue;
    }
    totals.measured += 1;
    totals.bytes += bytes.length;
    totals.lines += (text.match(/[^\n]*\n|[^\n]+$/g) ?? []).length;
    totals.sha256.set(path, createHash("sha256").update(bytes).digest("hex"));
  }
  return totals;
}

function assertSame(totals, plain) {
  assert.deepEqual([totals.measured, totals.bytes, totals.lines], [plain.measured, plain.bytes, plain.lines]);
  const dead = (reason) => (totals.dead[reason] ?? []).map(({ path }) => path).sort();
  assert.deepEqual(dead("rejected"), plain.rejected.sort());
  assert.deepEqual(dead("max_attempts"), plain.unreadable.sort());
}

test("the samples come out as a plain computation has them, in the light and in the dark", async () => {
  mkdirSync(SHOTS, { recursive: true });
  const plain = await plainly(samples());
  assert.ok(plain.rejected.length > 5 && plain.unreadable.length === 1 && plain.measured > 250);
  let retried;
  for (const colorScheme of ["light", "dark"]) {
    const { page, complaints } = await demo({ colorScheme });
    await page.screenshot({ path: join(SHOTS, `demo-${colorScheme}-start.png`) });
    await page.getByRole("button", { name: "Run the samples" }).click();
    const totals = await totalsOf(page);
    assertSame(totals, plain);
    assert.ok(totals.retried >= 3, `the unreadable file alone is tried again 3 times, got ${totals.retried}`);
    assert.equal(totals.retried, retried ?? totals.retried, "the flaky step is seeded");
    retried = totals.retried;
    assert.equal(await page.locator("#total-files").textContent(), String(plain.measured));
    assert.equal(await page.locator("#dead-rows tr").count(), plain.rejected.length + 1);
    assert.equal(await page.locator("#result-rows tr").count(), plain.measured);
    const hashes = await page
      .locator("#result-rows tr")
      .evaluateAll((rows) => rows.map((row) => [row.cells[0].textContent, row.querySelector("code").title]));
    assert.deepEqual(new Map(hashes.sort()), new Map([...plain.sha256].sort()));
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
    assert.match(await page.locator("#status").textContent(), /^Done in [\d.]+ s, [\d,]+ messages$/);
    assert.equal(
      await page.locator("#total-reasons").textContent(),
      `${plain.rejected.length} rejected · 1 out of attempts`,
    );
    await page.screenshot({ path: join(SHOTS, `demo-${colorScheme}.png`), fullPage: true });
    assert.deepEqual(complaints, []);
    await page.close();
  }
});

test("chosen files come out as a plain computation has them", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "ferrymq-demo-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const contents = {
    "plain.txt": Buffer.from("one\ntwo"),
    "umlaut.txt": Buffer.from("größe\n"),
    "empty.txt": Buffer.alloc(0),
    "wide.txt": Buffer.from("\ufeffwide\nlines\n", "utf16le"),
    "noise.bin": Buffer.from([0xff, 0x00, 0xc3, 0x28]),
  };
  const paths = Object.entries(contents).map(([name, bytes]) => {
    writeFileSync(join(directory, name), bytes);
    return join(directory, name);
  });
  const { page, complaints } = await demo();
  await page.locator("#files").setInputFiles(paths);
  const totals = await totalsOf(page);
  const files = Object.entries(contents).map(([path, bytes]) => ({ path, read: async () => new Uint8Array(bytes) }));
  assertSame(totals, await plainly(files));
  assert.equal(totals.files, 5);
  assert.deepEqual(totals.encodings, { "utf-8": 3, "utf-16le": 1 });
  assert.deepEqual(complaints, []);
  await page.close();
});

test("a dropped file is taken, a run can be stopped, and another one begun", async () => {
  const { page, complaints } = await demo();
  const transfer = await page.evaluateHandle(() => {
    const transfer = new DataTransfer();
    transfer.items.add(new File(["dropped\n"], "dropped.txt"));
    return transfer;
  });
  await page.dispatchEvent("#drop", "dragover", { dataTransfer: transfer });
  assert.equal(await page.locator("#drop.over").count(), 1);
  await page.dispatchEvent("#drop", "drop", { dataTransfer: transfer });
  assert.deepEqual((await totalsOf(page)).measured, 1);
  await page.evaluate(() => {
    document.getElementById("samples").click();
    document.getElementById("stop").click();
  });
  const stopped = await totalsOf(page);
  assert.ok(stopped.measured < 301);
  assert.match(await page.locator("#status").textContent(), /^Stopped after/);
  await page.getByRole("button", { name: "Run the samples" }).click();
  await page.waitForFunction(() => document.getElementById("status").textContent.startsWith("Done in"));
  assert.deepEqual(complaints, []);
  await page.close();
});

test("the page can be used with the keyboard, says what it is, and fits a phone", async () => {
  const { page } = await demo({ viewport: { width: 360, height: 740 } });
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.id), "samples");
  await page.keyboard.press("Enter");
  await totalsOf(page);
  assert.equal(await page.getByRole("progressbar", { name: "Files done" }).count(), 1);
  assert.equal(await page.getByRole("status").count(), 1);
  assert.equal(await page.getByRole("region", { name: "Dead letters" }).last().isVisible(), true);
  assert.equal(
    await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth),
    true,
    "no sideways scrolling",
  );
  await page.screenshot({ path: join(SHOTS, "demo-phone.png") });
  await page.close();
});
