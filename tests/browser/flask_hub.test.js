// A Flask application that sends its browsers to the hub: the redirect and its ticket, who may read from where, and where
// each browser comes back to.
//
// By the standard, and in Chromium, an EventSource that was redirected comes back to where it was sent; Firefox asks again
// where it asked first. So the one needs its ticket for as long as it stays, and the other passes the application's guard
// each time.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { BROWSERS, seen, startBrowser, until } from "./support/browser.js";
import { startFlask } from "./support/flask.js";
import { startHub } from "./support/hub.js";
import { startSite } from "./support/site.js";

const KEY = "key-of-the-tests-and-of-nothing-else";

/** A hub that wants tickets, what is in front of it, and an application with a page, each of an origin of its own. */
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
  /** As a view does: publishes by the application. */
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
    let browser;
    before(async () => {
      browser = await startBrowser(name);
    });
    after(() => browser.close());

    /** Where this browser comes back to. */
    const remembersRedirects = name === "chromium";

    test("a page is sent to the hub, and comes back after each cut where it was", async (t) => {
      const { app, front, publish } = await startAll(t);
      const page = await browser.open(t, app.page("/stream?channel=news"));
      await until(page, () => window.opened === 1);
      const [head] = front.streams;
      assert.equal(header(head, "origin"), app.address);
      assert.equal(header(head, "referer"), undefined, "nobody is told where it came from");
      await publish("news", "1");
      await until(page, () => window.seen.length === 1);

      for (const cut of [1, 2, 3]) {
        front.cut();
        await publish("news", `${cut + 1}`);
        await until(page, (count) => window.seen.length === count, cut + 1);
        assert.ok(header(front.streams.at(-1), "last-event-id"), "it says what it had");
      }
      assert.deepEqual(await data(page), ["1", "2", "3", "4"]);
      assert.equal(front.streams.length, 4);
      assert.equal(app.streams.length, remembersRedirects ? 1 : 4);
      const addresses = new Set(front.streams.map((head) => head.split(" ", 2)[1]));
      if (remembersRedirects) assert.equal(addresses.size, 1);
    });

    test("with cookies it is the same", async (t) => {
      const { app, publish } = await startAll(t);
      const page = await browser.open(t, app.page("/stream?channel=news", "credentials"));
      await until(page, () => window.opened === 1);
      await publish("news", "one");
      await until(page, () => window.seen.length === 1);
    });

    test("a guard that looks at a cookie refuses one channel", async (t) => {
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

    test("a page of another origin listens where the application lets it", async (t) => {
      const other = await startSite(t);
      const { app, front, publish } = await startAll(t, { CORS_ORIGIN: other.address });
      const page = await browser.open(t, other.page(`${app.address}/stream?channel=news`, "credentials"));
      await until(page, () => window.opened === 1);
      // Whom a redirect from elsewhere came from is nobody's to know.
      assert.equal(header(front.streams[0], "origin"), "null");
      await publish("news", "one");
      await until(page, () => window.seen.length === 1);
      front.cut();
      await publish("news", "two");
      await until(page, () => window.seen.length === 2);
      assert.deepEqual(await data(page), ["one", "two"]);
    });

    test("a page of another origin gets nothing where the application does not let it", async (t) => {
      const other = await startSite(t);
      const { app, front } = await startAll(t);
      const page = await browser.open(t, other.page(`${app.address}/stream?channel=news`, "credentials"));
      await until(page, () => window.source.readyState === EventSource.CLOSED);
      assert.equal(app.streams.length, 1);
      assert.equal(front.streams.length, 0, "the browser does not follow");
    });

    test("a ticket past its time ends no stream, and is good for no other one", async (t) => {
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
        // Which is why a ticket is good for half a day.
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
