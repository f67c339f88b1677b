// A headless Chromium, the machine's own.

import { existsSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../wasm/package.json", import.meta.url));
const { chromium } = require("playwright-core");

const PLACES = [
  process.env.FERRYMQ_CHROMIUM,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/** Starts a browser with a profile of its own. Close it when done. */
export async function launch() {
  const executablePath = PLACES.find((path) => path && existsSync(path));
  if (executablePath === undefined) {
    throw new Error("no Chromium found; install one (apt-get install chromium), or set FERRYMQ_CHROMIUM to its path");
  }
  return chromium.launch({
    executablePath,
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}
