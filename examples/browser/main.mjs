// The page around the job: what is chosen or dropped goes in, what comes out is shown.

import { done, run } from "./job.mjs";
import { samples } from "./samples.mjs";

/** Rows that a table shows; the totals count all. */
const ROWS_MAX = 500;
const SEED = 1;

const $ = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");
let running;

/** Runs the job over files and shows it. Resolves with the totals. */
async function show(files) {
  running?.abort();
  const control = new AbortController();
  running = control;
  begin(files.length);
  const screen = new Screen(control.signal);
  try {
    const totals = await run(files, { seed: SEED, signal: control.signal, progress: (news) => screen.add(news) });
    if (running !== control) return totals;
    screen.end();
    finish(totals, control.signal.aborted);
    return totals;
  } catch (error) {
    $("status").textContent = `The run failed: ${error.message}`;
    throw error;
  } finally {
    if (running === control) {
      running = undefined;
      delete document.body.dataset.running;
      $("stop").hidden = true;
    }
  }
}

function begin(count) {
  document.body.dataset.running = "";
  delete document.body.dataset.done;
  for (const id of ["result-rows", "dead-rows"]) $(id).replaceChildren();
  for (const id of ["dead", "results"]) $(id).hidden = true;
  for (const id of ["total-retried", "total-rate"]) $(id).textContent = "–";
  $("run").hidden = false;
  $("stop").hidden = false;
  $("bar").max = Math.max(count, 1);
  $("bar").value = 0;
  $("status").textContent = count === 1 ? "1 file" : `${number.format(count)} files`;
}

/** Draws at most once a frame, however fast the news come. */
class Screen {
  #news = [];
  #totals;
  #asked = false;
  #signal;

  constructor(signal) {
    this.#signal = signal;
  }

  add(news) {
    this.#news.push(news);
    this.#totals = news.totals;
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => this.draw());
  }

  /** Draws what is left, and nothing after it. */
  end() {
    this.draw();
    this.#totals = undefined;
  }

  draw() {
    this.#asked = false;
    if (this.#totals === undefined || (this.#signal.aborted && running?.signal !== this.#signal)) return;
    const news = this.#news.splice(0);
    addRows(
      "result",
      "results",
      news.flatMap(({ result }) => (result ? [resultRow(result)] : [])),
    );
    addRows(
      "dead",
      "dead",
      news.flatMap(({ letter }) => (letter ? [letterRow(letter)] : [])),
    );
    const totals = this.#totals;
    $("bar").value = done(totals);
    $("status").textContent = `${number.format(done(totals))} of ${number.format(totals.files)} files done`;
    showTotals(totals);
  }
}

function showTotals(totals) {
  $("total-files").textContent = number.format(totals.measured);
  $("total-bytes").textContent = number.format(totals.bytes);
  $("total-lines").textContent = number.format(totals.lines);
  $("total-dead").textContent = number.format(done(totals) - totals.measured);
  $("total-reasons").textContent = reasons(totals).join(" · ");
  const shown = Math.min(totals.measured, ROWS_MAX);
  $("results-note").textContent =
    shown < totals.measured ? `the first ${shown} of ${number.format(totals.measured)}` : "";
}

function finish(totals, stopped) {
  showTotals(totals);
  $("bar").value = done(totals);
  $("total-retried").textContent = number.format(totals.retried);
  $("total-rate").textContent = number.format(Math.round(totals.messagesPerSecond));
  const end = stopped ? "Stopped after" : "Done in";
  $("status").textContent = `${end} ${totals.seconds.toFixed(2)} s, ${number.format(totals.messages)} messages`;
  document.body.dataset.done = JSON.stringify(totals);
}

/** The dead letters, counted by reason. */
function reasons(totals) {
  return Object.entries(totals.dead).map(
    ([reason, letters]) => `${number.format(letters.length)} ${WORDS[reason] ?? reason}`,
  );
}

/** How a reason reads. */
const WORDS = { rejected: "rejected", max_attempts: "out of attempts", expired: "expired", overflow: "pushed out" };

function addRows(kind, section, rows) {
  if (rows.length === 0) return;
  const body = $(`${kind}-rows`);
  body.append(...rows.slice(0, Math.max(ROWS_MAX - body.rows.length, 0)));
  $(section).hidden = false;
}

function resultRow({ path, bytes, lines, encoding, sha256 }) {
  const row = cells(path, number.format(bytes), number.format(lines), encoding, "");
  row.cells[1].className = row.cells[2].className = "number";
  const code = document.createElement("code");
  code.textContent = `${sha256.slice(0, 16)}…`;
  code.title = sha256;
  row.cells[4].append(code);
  return row;
}

function letterRow({ path, reason, detail, attempts }) {
  const row = cells(path, "", detail ?? "", number.format(attempts));
  row.cells[3].className = "number";
  const mark = document.createElement("span");
  mark.className = "reason";
  mark.textContent = WORDS[reason] ?? reason;
  row.cells[1].append(mark);
  return row;
}

function cells(...texts) {
  const row = document.createElement("tr");
  for (const text of texts) row.insertCell().textContent = text;
  return row;
}

/** A File as the job takes it. */
function chosen(file, path = file.webkitRelativePath || file.name) {
  return { path, read: async () => new Uint8Array(await file.arrayBuffer()) };
}

/** All files under what was dropped: a file, or an entry of the file system. */
async function under(entry) {
  if (entry instanceof File) return [chosen(entry)];
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [chosen(file, entry.fullPath.replace(/^\//, ""))];
  }
  const reader = entry.createReader();
  const found = [];
  // A reader gives its entries in portions; an empty one is the last.
  for (;;) {
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (entries.length === 0) return found;
    for (const each of entries) found.push(...(await under(each)));
  }
}

for (const input of [$("files"), $("folder")]) {
  input.addEventListener("change", () => {
    const files = [...input.files].map((file) => chosen(file));
    input.value = "";
    if (files.length > 0) show(files);
  });
}
$("samples").addEventListener("click", () => show(samples()));
$("stop").addEventListener("click", () => running?.abort());

const drop = $("drop");
for (const type of ["dragenter", "dragover"]) {
  drop.addEventListener(type, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
}
drop.addEventListener("dragleave", (event) => {
  if (!drop.contains(event.relatedTarget)) drop.classList.remove("over");
});
drop.addEventListener("drop", async (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  // What was dropped must be taken before the first await: the browser forgets it after the event.
  const dropped = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry() ?? item.getAsFile());
  const files = (await Promise.all(dropped.filter(Boolean).map(under))).flat();
  if (files.length > 0) show(files);
});
