// `/tidecast.js`: one file, for pages of the hub and of other origins, with every type of event.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, test } from "node:test";

import { BROWSERS, seen, until, useBrowser } from "./support/browser.js";
import { startHub } from "./support/hub.js";
import { startSite } from "./support/site.js";

const browser = useBrowser();

test("the hub serves the package's file to pages of any origin", async (t) => {
  const hub = await startHub(t);
  const response = await fetch(`${hub.address}/tidecast.js`);
  assert.equal(response.headers.get("content-type"), "text/javascript; charset=utf-8");
  assert.equal(response.headers.get("access-control-allow-origin"), "*");
  const file = new URL("../../js/tidecast.js", import.meta.url);
  assert.equal(await response.text(), await readFile(file, "utf8"));
});

test("a page of an allowed origin imports it and reads with every kind of listener", async (t) => {
  const site = await startSite(t);
  const hub = await startHub(t, "--cors-origin", site.address);
  const page = await browser.open(t, site.page(`${hub.address}/stream?channel=news`, "module"));
  await until(page, () => window.opened === 1);
  await page.evaluate(() => {
    window.heard = [];
    const source = window.source;
    const note = (how) => (event) => window.heard.push([how, event.type, event.data]);
    source.onmessage = note("onmessage");
    source.addEventListener("price", note("function"));
    source.addEventListener("price", { handleEvent: note("object") });
    source.addEventListener("price", note("once"), { once: true });
    const removed = note("removed");
    source.addEventListener("price", removed);
    source.removeEventListener("price", removed);
    source.addEventListener("error", (event) => window.heard.push(["error", event.type, event.data]));
  });
  const { id } = await hub.publish({ channel: "news", type: "price", data: { eur: 1.1 } });
  await hub.publish({ channel: "news", type: "price", data: "again" });
  // The event has the type of one of the source's own events, and is delivered nevertheless.
  await hub.publish({ channel: "news", type: "error", data: "published" });
  await hub.publish({ channel: "news", data: "last" });
  await until(page, () => window.heard.at(-1)?.[0] === "onmessage");
  assert.deepEqual(await page.evaluate(() => window.heard), [
    ["function", "price", '{"eur":1.1}'],
    ["object", "price", '{"eur":1.1}'],
    ["once", "price", '{"eur":1.1}'],
    ["function", "price", "again"],
    ["object", "price", "again"],
    ["error", "error", "published"],
    ["onmessage", "message", "last"],
  ]);
  assert.match(id, /^[0-9a-f]{12}\.1$/);
  const [{ type, data }] = await seen(page);
  assert.deepEqual({ type, data }, { type: "stream-open", data: `{"position":"${id.replace(/1$/, "0")}"}` });
});

// The hub sent events to pages that were left and kept for the way back.
test("a page that was left has no stream, and resumes if it is shown again", async (t) => {
  const site = await startSite(t);
  const hub = await startHub(t, "--cors-origin", site.address);
  const page = await browser.open(t, site.page(`${hub.address}/stream?channel=news`, "module"));
  await until(page, () => window.opened === 1);
  await page.evaluate(() => {
    window.heard = [];
    window.source.onmessage = ({ data }) => window.heard.push(data);
  });
  const transition = (type) =>
    page.evaluate((type) => dispatchEvent(new PageTransitionEvent(type, { persisted: true })), type);
  await transition("pagehide");
  const published = [];
  for (let receivers = 1; receivers > 0; ) {
    ({ receivers } = await hub.publish({ channel: "news", data: `${published.length}` }));
    published.push(`${published.length}`);
  }
  assert.deepEqual(await page.evaluate(() => window.heard), []);
  await transition("pageshow");
  await until(page, (count) => window.heard.length === count, published.length);
  assert.deepEqual(await page.evaluate(() => window.heard), published);
});

// `source.readyState === source.OPEN` was always false, as instances had no constants. Published events with the type
// of one of the source's own events were not delivered, or could not be told from it.
for (const name of BROWSERS) {
  describe(name, () => {
    const browser = useBrowser(name);

    test("it has the constants of an EventSource, and every published event is a MessageEvent", (t) =>
      isLikeAnEventSource(t, browser));
  });
}

async function isLikeAnEventSource(t, browser) {
  const site = await startSite(t);
  const hub = await startHub(t, "--cors-origin", site.address);
  const page = await browser.open(t, site.page(`${hub.address}/stream?channel=news`, "module"));
  await until(page, () => window.opened === 1);
  const constants = () => {
    const { source } = window;
    const of = (target) => [target.CONNECTING, target.OPEN, target.CLOSED];
    return [of(source), of(source.constructor), of(EventSource.prototype), source.readyState === source.OPEN];
  };
  assert.deepEqual(await page.evaluate(constants), [[0, 1, 2], [0, 1, 2], [0, 1, 2], true]);

  const types = ["open", "error", "reconnecting"];
  await page.evaluate((types) => {
    window.heard = [];
    const note = (event) => window.heard.push([event.type, event.data ?? null, event instanceof MessageEvent]);
    for (const type of [...types, "message"]) window.source.addEventListener(type, note);
  }, types);
  for (const type of [...types, "message"]) await hub.publish({ channel: "news", type, data: `a ${type}` });
  await until(page, () => window.heard.at(-1)?.[0] === "message");
  const published = [...types, "message"].map((type) => [type, `a ${type}`, true]);
  assert.deepEqual(await page.evaluate(() => window.heard), published);

  // The source's own event: the connection is lost.
  await page.evaluate(() => (window.heard = []));
  await hub.stop();
  await until(page, () => window.heard.length > 0);
  assert.deepEqual(await page.evaluate(() => window.heard[0]), ["error", null, false]);
}
