// Debian's Chromium and Firefox without a window, each with a profile of its own.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import puppeteer from "puppeteer-core";

import { DEADLINE_MS } from "./deadline.js";

/** Those of the tests that are run in each. Chromium is spoken to by its own protocol, Firefox by WebDriver BiDi. */
export const BROWSERS = ["chromium", "firefox"];

const CHROMIUM = {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
};

const FIREFOX = {
  browser: "firefox",
  executablePath: process.env.FIREFOX ?? "/usr/bin/firefox-esr",
};

/** Starts a browser; `close` ends it and takes its profile away. */
export async function startBrowser(name = "chromium") {
  const profile = await mkdtemp(join(tmpdir(), "tidecast-browser-"));
  const browser = await puppeteer.launch({ ...(name === "firefox" ? FIREFOX : CHROMIUM), userDataDir: profile });
  return {
    name,
    /** Opens a page that ends with the test `t`, and knows what `support/page.html` sees. */
    async open(t, address) {
      const page = await browser.newPage();
      t.after(() => page.close());
      page.setDefaultTimeout(DEADLINE_MS);
      if (address) await page.goto(address);
      return page;
    },
    async close() {
      await browser.close();
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** Waits until something is true in the page. Not by animation frames: a page in the background has none. */
export function until(page, condition, ...values) {
  return page.waitForFunction(condition, { polling: 20 }, ...values);
}

/** All that the page's `EventSource` dispatched so far. */
export function seen(page) {
  return page.evaluate(() => window.seen);
}
