// Debian's Chromium and Firefox, headless, each with a temporary profile.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";

import puppeteer from "puppeteer-core";

import { DEADLINE_MS } from "./deadline.js";

/** The browsers of tests that run in each. Chromium is driven by its own protocol, Firefox by WebDriver BiDi. */
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

/** Returns a browser that runs during the tests of a file or of a `describe`. */
export function useBrowser(name = "chromium") {
  const started = {};
  before(async () => Object.assign(started, await startBrowser(name)));
  after(() => started.close());
  return started;
}

/** Starts a browser. `close` ends it and removes its profile. */
async function startBrowser(name) {
  const profile = await mkdtemp(join(tmpdir(), "tidecast-browser-"));
  const browser = await puppeteer.launch({ ...(name === "firefox" ? FIREFOX : CHROMIUM), userDataDir: profile });
  return {
    name,
    /** Opens a page that is closed with the test `t`. */
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

/** Waits until a condition holds in the page. Polls, as a page in the background has no animation frames. */
export function until(page, condition, ...values) {
  return page.waitForFunction(condition, { polling: 20 }, ...values);
}

/** Returns all events that the page's `EventSource` has dispatched so far. */
export function seen(page) {
  return page.evaluate(() => window.seen);
}
