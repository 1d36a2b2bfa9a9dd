// A page of another origin: an application on one port, the hub on another.

import assert from "node:assert/strict";
import { test } from "node:test";

import { seen, until, useBrowser } from "./support/browser.js";
import { startHub } from "./support/hub.js";
import { startSite } from "./support/site.js";

const browser = useBrowser();

// Runs in the page. JSON makes the browser send a preflight request.
function publishFromPage(address, contentType, body, mode) {
  return fetch(address, { method: "POST", mode, credentials: "include", headers: { "Content-Type": contentType }, body })
    .then((response) => response.status)
    .catch((error) => error.name);
}

test("a page of an allowed origin reads and publishes, with credentials", async (t) => {
  const site = await startSite(t);
  const hub = await startHub(t, "--cors-origin", site.address);
  for (const switches of [[], ["credentials"]]) {
    const page = await browser.open(t, site.page(`${hub.address}/stream?channel=news`, ...switches));
    await until(page, () => window.opened === 1);
    const event = JSON.stringify({ channel: "news", data: "from a page" });
    assert.equal(await page.evaluate(publishFromPage, `${hub.address}/publish`, "application/json", event), 200);
    await until(page, () => window.seen.length === 1);
    assert.equal((await seen(page))[0].data, "from a page");
  }
});

test("a page of another origin neither reads nor publishes", async (t) => {
  const allowed = await startSite(t);
  const other = await startSite(t);
  const hub = await startHub(t);
  const hubForAllowed = await startHub(t, "--cors-origin", allowed.address);
  for (const { address, publish } of [hub, hubForAllowed]) {
    const page = await browser.open(t, other.page(`${address}/stream?channel=news`, "credentials"));
    await until(page, () => window.source.readyState === EventSource.CLOSED);
    await publish({ channel: "news", data: "not for that page" });
    assert.equal(await page.evaluate(() => window.opened), 0);
    assert.deepEqual(await seen(page), []);

    const post = (...of) => page.evaluate(publishFromPage, `${address}/publish`, ...of);
    assert.equal(await post("application/json", '{"data": "x"}', "cors"), "TypeError");
    // Text needs no preflight request, so the hub itself must refuse it.
    assert.equal(await post("text/plain", "x", "cors"), "TypeError");
    assert.equal(await post("text/plain", "x", "no-cors"), 0);
    const { channels } = await (await fetch(`${address}/channels`)).json();
    assert.deepEqual(channels.map(({ channel, events }) => [channel, events]), [["news", 1]]);
  }
});
