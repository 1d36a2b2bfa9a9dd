// The hub is stopped or killed and started again, or a proxy in front of it responds with 502 for a while: what a page
// receives in the end, with the browser's EventSource and with the hub's module.
//
// Either every event arrives once and in order, or a `stream-reset` reports the loss. A 502 closes a plain EventSource
// for good, which a test states.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, test } from "node:test";

import { BROWSERS, seen, until, useBrowser } from "./support/browser.js";
import { within } from "./support/deadline.js";
import { startHub } from "./support/hub.js";
import { startSite } from "./support/site.js";

// The lines that the guide gives to pages without the module.
const GUIDE = await readFile(new URL("../../docs/flask.md", import.meta.url), "utf8");
const LISTEN = /^ *function listen\(.*?^ {2}\}$/ms.exec(GUIDE)[0];

const SOURCES = { EventSource: [], TidecastSource: ["module"] };

/** Returns the published events that the page has received, without the hub's own. */
async function messages(page) {
  return (await seen(page)).filter(({ type }) => type === "message").map(({ data }) => data);
}

async function resets(page) {
  return (await seen(page)).filter(({ type }) => type === "stream-reset").map(({ data }) => JSON.parse(data).reason);
}

function untilMessages(page, count) {
  return until(page, (count) => window.seen.filter(({ type }) => type === "message").length >= count, count);
}

async function publishAll(hub, from, to) {
  const events = Array.from({ length: to - from + 1 }, (_, index) => ({ channel: "news", data: `${from + index}` }));
  for (const event of events) await hub.publish(event);
}

const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, index) => `${from + index}`);

for (const name of BROWSERS) {
  describe(name, () => {
    const browser = useBrowser(name);

    for (const [source, switches] of Object.entries(SOURCES)) {
      for (const how of ["stop", "kill"]) {
        test(`${source}: after a ${how} of the hub, a reset and then every event`, async (t) => {
          const first = await startHub(t);
          // Through a proxy, because a killed hub's port would be the page's as well.
          const site = await startSite(t, first.port);
          const page = await browser.open(t, site.page("/stream?channel=news", ...switches));
          await until(page, () => window.opened === 1);
          await publishAll(first, 1, 20);
          await untilMessages(page, 20);
          await first[how]();
          await until(page, () => window.failed > 0);

          const second = await startHub(t, "--listen", `127.0.0.1:${first.port}`);
          await until(page, () => window.seen.some(({ type }) => type === "stream-reset"));
          await publishAll(second, 21, 40);
          await untilMessages(page, 40);
          assert.deepEqual(await messages(page), numbers(1, 40));
          assert.deepEqual(await resets(page), ["restarted"]);
        });
      }

      test(`${source}: events published while the connection is cut arrive once`, async (t) => {
        const hub = await startHub(t);
        const site = await startSite(t, hub.port);
        const page = await browser.open(t, site.page("/stream?channel=news", ...switches));
        await until(page, () => window.opened === 1);
        await publishAll(hub, 1, 10);
        await untilMessages(page, 10);
        site.isAway = true;
        site.cut();
        await until(page, () => window.failed > 0);
        await publishAll(hub, 11, 20);
        site.isAway = false;
        await untilMessages(page, 20);
        await publishAll(hub, 21, 30);
        await untilMessages(page, 30);
        assert.deepEqual(await messages(page), numbers(1, 30));
        assert.deepEqual(await resets(page), []);
      });
    }

    test("EventSource with `open=1`: a cut before the first event loses nothing", async (t) => {
      const hub = await startHub(t);
      const site = await startSite(t, hub.port);
      const page = await browser.open(t, site.page("/stream?channel=news&open=1"));
      await until(page, () => window.seen.length === 1);
      site.isAway = true;
      site.cut();
      await until(page, () => window.failed > 0);
      await publishAll(hub, 1, 3);
      site.isAway = false;
      await untilMessages(page, 3);
      assert.deepEqual(await messages(page), numbers(1, 3));
      assert.deepEqual(await resets(page), []);
    });

    test("EventSource: a 502 closes it for good", async (t) => {
      const hub = await startHub(t);
      const site = await startSite(t, hub.port);
      const page = await browser.open(t, site.page("/stream?channel=news"));
      await until(page, () => window.opened === 1);
      await publishAll(hub, 1, 10);
      await untilMessages(page, 10);
      site.isBadGateway = true;
      site.cut();
      await until(page, () => window.source.readyState === EventSource.CLOSED);
      site.isBadGateway = false;
      const asked = site.streams.length;
      await publishAll(hub, 11, 20);
      // Several times its reconnection time.
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      assert.equal(site.streams.length, asked);
      assert.deepEqual(await messages(page), numbers(1, 10));
    });

    test("TidecastSource: after several 502s every event arrives once", async (t) => {
      const hub = await startHub(t);
      const site = await startSite(t, hub.port);
      const page = await browser.open(t, site.page("/stream?channel=news", "module"));
      await until(page, () => window.opened === 1);
      await publishAll(hub, 1, 10);
      await untilMessages(page, 10);
      site.isBadGateway = true;
      site.cut();
      await until(page, () => window.reconnecting.length >= 2);
      await publishAll(hub, 11, 20);
      assert.equal(await page.evaluate(() => window.source.readyState), 0, "it is connecting, not closed");
      site.isBadGateway = false;
      await untilMessages(page, 20);
      await publishAll(hub, 21, 30);
      await untilMessages(page, 30);
      assert.deepEqual(await messages(page), numbers(1, 30));
      assert.deepEqual(await resets(page), []);
      const [first, second] = await page.evaluate(() => window.reconnecting);
      assert.ok(first >= 500 && first <= 1_000 && second >= 1_000 && second <= 2_000, `${first}, then ${second} ms`);
    });

    test("the lines of docs/flask.md: after several 502s every event arrives once", async (t) => {
      const hub = await startHub(t);
      await publishAll(hub, 1, 10);
      const site = await startSite(t, hub.port);
      const page = await browser.open(t, site.page("/stream?channel=other"));
      await page.evaluate((lines) => {
        window.told = [];
        const listen = new Function(`${lines}\nreturn listen;`)();
        const tell = (event) => window.told.push(event.data);
        listen("/stream?channel=news&last=10", { message: tell, "stream-reset": tell });
      }, LISTEN);
      await until(page, () => window.told.length === 10);
      site.isBadGateway = true;
      site.cut();
      // The first request, the browser's own attempt, and two of the page's lines.
      const asked = () => site.streams.filter((head) => head.includes("channel=news")).length;
      await within("it tries again", (async () => {
        while (asked() < 4) await new Promise((resolve) => setTimeout(resolve, 20));
      })());
      await publishAll(hub, 11, 20);
      site.isBadGateway = false;
      await until(page, () => window.told.length >= 20);
      assert.deepEqual(await page.evaluate(() => window.told), numbers(1, 20));
    });

    test("TidecastSource: a 502 before the first event loses nothing", async (t) => {
      const hub = await startHub(t);
      await publishAll(hub, 1, 3);
      const site = await startSite(t, hub.port);
      const page = await browser.open(t, site.page("/stream?channel=news", "module"));
      await until(page, () => window.source.lastEventId !== "");
      site.isBadGateway = true;
      site.cut();
      await until(page, () => window.reconnecting.length >= 1);
      await publishAll(hub, 4, 6);
      site.isBadGateway = false;
      await untilMessages(page, 3);
      assert.deepEqual(await messages(page), numbers(4, 6));
      assert.deepEqual(await resets(page), []);
    });

    test("TidecastSource: `close` ends it, also between attempts", async (t) => {
      const hub = await startHub(t);
      const site = await startSite(t, hub.port);
      const page = await browser.open(t, site.page("/stream?channel=news", "module"));
      await until(page, () => window.opened === 1);
      site.isBadGateway = true;
      site.cut();
      await until(page, () => window.reconnecting.length >= 1);
      await page.evaluate(() => window.source.close());
      const asked = site.streams.length;
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      assert.equal(site.streams.length, asked);
      assert.equal(await page.evaluate(() => window.source.readyState), 2);
    });
  });
}
