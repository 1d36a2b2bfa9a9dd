// Events arrive once and in order, whatever happens to the connection.

import assert from "node:assert/strict";
import { test } from "node:test";

import { seen, until, useBrowser } from "./support/browser.js";
import { startHub } from "./support/hub.js";
import { logLines } from "./support/log_lines.js";
import { startSite } from "./support/site.js";

const browser = useBrowser();

test("every line of a log arrives once and in order, although the connection is cut twice", async (t) => {
  const hub = await startHub(t);
  const site = await startSite(t, hub.port);
  const page = await browser.open(t, site.page("/stream?channel=log"));
  await until(page, () => window.opened === 1);

  const lines = await logLines();
  const cuts = [1, 2].map((part) => Math.floor((lines.length * part) / 3));
  for (const [index, line] of lines.entries()) {
    const cut = cuts.indexOf(index) + 1;
    if (cut > 0) {
      // In the middle of the stream: the page has events of this connection, and more are on their way.
      const before = cut > 1 ? cuts[cut - 2] : 0;
      await until(page, (cut, before) => window.opened === cut && window.seen.length > before, cut, before);
      site.cut();
    }
    await hub.publish({ channel: "log", data: line });
  }
  await until(page, (count) => window.seen.length >= count, lines.length);

  const events = await seen(page);
  t.diagnostic(`${lines.length} lines in, ${events.length} events out, ${site.streams.length - 1} reconnections`);
  // Line by line, as Node takes minutes to show how two long lists differ.
  for (const [index, line] of lines.entries()) {
    // An event stream has no carriage returns: they arrive as line ends.
    assert.equal(events[index].data, line.replaceAll(/\r\n?/g, "\n"), `line ${index}`);
  }
  assert.equal(events.length, lines.length);
  assert.ok(events.every((event) => event.type === "message"));
  assert.equal(new Set(events.map((event) => event.id)).size, lines.length, "each event has its own id");
  assert.equal(await page.evaluate(() => window.opened), 3);
});

test("a connection that is cut before its first event resumes at its start", async (t) => {
  const hub = await startHub(t);
  await hub.publish({ channel: "news", data: "before the page came" });
  const site = await startSite(t, hub.port);
  const page = await browser.open(t, site.page("/stream?channel=news"));
  await until(page, () => window.opened === 1);
  assert.deepEqual(await seen(page), []);

  site.isAway = true;
  site.cut();
  await until(page, () => window.failed > 0);
  const ids = [];
  for (const data of ["one", "two", "three"]) ids.push((await hub.publish({ channel: "news", data })).id);
  site.isAway = false;

  await until(page, () => window.seen.length >= 3);
  const expected = ["one", "two", "three"].map((data, index) => ({ type: "message", data, id: ids[index] }));
  assert.deepEqual(await seen(page), expected);
  assert.doesNotMatch(site.streams[0], /^last-event-id:/im);
  assert.match(site.streams.at(-1), /^last-event-id: [0-9a-f]{12}\.1$/im);
});

test("a page gets a reset after a restart of the hub, and continues", async (t) => {
  const first = await startHub(t);
  const site = await startSite(t, first.port);
  const page = await browser.open(t, site.page("/stream?channel=news"));
  await until(page, () => window.opened === 1);
  const published = await first.publish({ channel: "news", data: "old" });
  // Stopped right after the event, which arrives nevertheless.
  assert.equal(await first.stop(), 0);
  await until(page, () => window.failed > 0);
  assert.deepEqual(await seen(page), [{ type: "message", data: "old", id: published.id }]);

  const second = await startHub(t, "--listen", `127.0.0.1:${first.port}`);
  await until(page, () => window.opened === 2 && window.seen.length === 2);
  await second.publish({ channel: "news", data: "new" });
  await until(page, () => window.seen.length === 3);

  const [, reset, event] = await seen(page);
  assert.equal(reset.type, "stream-reset");
  const { channel, reason, resumed_at: resumedAt } = JSON.parse(reset.data);
  assert.deepEqual({ channel, reason }, { channel: "news", reason: "restarted" });
  assert.equal(reset.id, resumedAt);
  assert.equal(event.data, "new");
});
