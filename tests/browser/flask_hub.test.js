// A Flask application that redirects its browsers to the hub: the redirect and its ticket, the origins that may read,
// and the address to which each browser reconnects.
//
// By the standard, and in Chromium, a redirected EventSource reconnects to the redirect's target. Firefox reconnects to
// the original address. So Chromium needs its ticket as long as the page is open, and Firefox passes the application's
// guard each time.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { BROWSERS, seen, until, useBrowser } from "./support/browser.js";
import { startFlask } from "./support/flask.js";
import { startHub } from "./support/hub.js";
import { startSite } from "./support/site.js";

const KEY = "key-of-the-tests-and-of-nothing-else";

/** Starts a hub that requires tickets, a proxy in front of it, and an application with a page, each on its own origin. */
async function startAll(t, settings = {}) {
  const hub = await startHub(t, "--tickets", "--publish-key", KEY);
  const front = await startSite(t, hub.port);
  const flask = await startFlask(t, "guarded", {
    SSE_HUB_URL: hub.address,
    SSE_HUB_KEY: KEY,
    SSE_HUB_PUBLIC_URL: front.address,
    ...settings,
  });
  const app = await startSite(t, flask.port);
  /** Publishes through the application, as a view does. */
  async function publish(channel, data) {
    const response = await fetch(`${app.address}/hello?${new URLSearchParams({ channel, data })}`);
    assert.equal(response.status, 200);
  }
  return { app, front, publish };
}

const header = (head, name) => new RegExp(`^${name}: (.*)$`, "im").exec(head)?.[1];
const data = async (page) => (await seen(page)).map((event) => event.data);

for (const name of BROWSERS) {
  describe(name, () => {
    const browser = useBrowser(name);

    /** The address to which this browser reconnects. */
    const remembersRedirects = name === "chromium";

    test("a page is redirected to the hub and resumes after each cut", async (t) => {
      const { app, front, publish } = await startAll(t);
      const page = await browser.open(t, app.page("/stream?channel=news"));
      await until(page, () => window.opened === 1);
      const [head] = front.streams;
      assert.equal(header(head, "origin"), app.address);
      assert.equal(header(head, "referer"), undefined, "there is no referrer");
      await publish("news", "1");
      await until(page, () => window.seen.length === 1);

      for (const cut of [1, 2, 3]) {
        front.cut();
        await publish("news", `${cut + 1}`);
        await until(page, (count) => window.seen.length === count, cut + 1);
        assert.ok(header(front.streams.at(-1), "last-event-id"), "it sends its last id");
      }
      assert.deepEqual(await data(page), ["1", "2", "3", "4"]);
      assert.equal(front.streams.length, 4);
      assert.equal(app.streams.length, remembersRedirects ? 1 : 4);
      const addresses = new Set(front.streams.map((head) => head.split(" ", 2)[1]));
      if (remembersRedirects) assert.equal(addresses.size, 1);
    });

    test("a page with credentials is redirected and resumes too", async (t) => {
      const { app, publish } = await startAll(t);
      const page = await browser.open(t, app.page("/stream?channel=news", "credentials"));
      await until(page, () => window.opened === 1);
      await publish("news", "one");
      await until(page, () => window.seen.length === 1);
    });

    test("a guard that checks a cookie refuses one channel", async (t) => {
      const { app, front, publish } = await startAll(t);
      const stranger = await browser.open(t, app.page("/stream?channel=analytics"));
      await until(stranger, () => window.source.readyState === EventSource.CLOSED);
      const hidden = await browser.open(t, app.page("/stream?channel=public&channel=analytics"));
      await until(hidden, () => window.opened === 1);
      assert.equal(front.streams.length, 1);
      await hidden.evaluate(() => (document.cookie = "user=admin"));
      const administrator = await browser.open(t, app.page("/stream?channel=analytics"));
      await until(administrator, () => window.opened === 1);

      await publish("analytics", "secret");
      await publish("public", "open");
      await until(administrator, () => window.seen.length === 1);
      await until(hidden, () => window.seen.length === 1);
      assert.deepEqual(await data(administrator), ["secret"]);
      assert.deepEqual(await data(hidden), ["open"]);
      assert.deepEqual(await data(stranger), []);
    });

    test("a page of an allowed origin reads", async (t) => {
      const other = await startSite(t);
      const { app, front, publish } = await startAll(t, { CORS_ORIGIN: other.address });
      const page = await browser.open(t, other.page(`${app.address}/stream?channel=news`, "credentials"));
      await until(page, () => window.opened === 1);
      // A redirect across origins hides the origin.
      assert.equal(header(front.streams[0], "origin"), "null");
      await publish("news", "one");
      await until(page, () => window.seen.length === 1);
      front.cut();
      await publish("news", "two");
      await until(page, () => window.seen.length === 2);
      assert.deepEqual(await data(page), ["one", "two"]);
    });

    test("a page of another origin does not read", async (t) => {
      const other = await startSite(t);
      const { app, front } = await startAll(t);
      const page = await browser.open(t, other.page(`${app.address}/stream?channel=news`, "credentials"));
      await until(page, () => window.source.readyState === EventSource.CLOSED);
      assert.equal(app.streams.length, 1);
      assert.equal(front.streams.length, 0, "the browser does not follow the redirect");
    });

    test("an expired ticket ends no stream and opens none", async (t) => {
      const { app, front, publish } = await startAll(t, { SSE_HUB_TICKET_SECONDS: "2" });
      const page = await browser.open(t, app.page("/stream?channel=news"));
      await until(page, () => window.opened === 1);
      const address = `${front.address}${front.streams[0].split(" ", 2)[1]}`;
      for (let status = 200; status !== 401; ) {
        const response = await fetch(address, { method: "HEAD" });
        status = response.status;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      await publish("news", "one");
      await until(page, () => window.seen.length === 1);

      front.cut();
      await publish("news", "two");
      if (remembersRedirects) {
        // This is why a ticket is valid for half a day.
        await until(page, () => window.source.readyState === EventSource.CLOSED);
        assert.equal(app.streams.length, 1);
        await page.reload();
        await until(page, () => window.opened === 1);
      } else {
        await until(page, () => window.seen.length === 2);
        assert.equal(app.streams.length, 2);
      }
    });
  });
}
