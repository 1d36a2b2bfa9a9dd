// The hub's own page. With TIDECAST_SCREENSHOTS it also leaves pictures of itself in that folder.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { startBrowser, until } from "./support/browser.js";
import { startHub } from "./support/hub.js";

let browser;
before(async () => {
  browser = await startBrowser();
});
after(() => browser.close());

/** Opens the console, and keeps whatever it complains of. */
async function openConsole(t, hub) {
  const page = await browser.open(t);
  const complaints = [];
  page.on("console", (message) => {
    if (["error", "warn"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("requestfailed", (request) => {
    const why = request.failure().errorText;
    // That is a stream which the page itself has closed.
    if (why !== "net::ERR_ABORTED") complaints.push(`${request.url()}: ${why}`);
  });
  await page.exposeFunction("complain", (text) => complaints.push(text));
  await page.evaluateOnNewDocument(() => {
    addEventListener("securitypolicyviolation", (event) => window.complain(event.violatedDirective));
  });
  await page.goto(hub.address);
  await until(page, () => document.getElementById("state").hasAttribute("data-open"));
  return { page, complaints };
}

function shown(page) {
  return page.$$eval("#events li", (items) =>
    items.map((item) => ({
      type: item.querySelector("b").textContent,
      data: item.querySelector("pre").textContent,
    })),
  );
}

test("the console shows what is published, by its form and from elsewhere", async (t) => {
  const hub = await startHub(t);
  const { page, complaints } = await openConsole(t, hub);
  assert.match(await page.$eval("#empty", (place) => place.innerText), /Nothing yet\.[^]*curl http.*\/publish/);

  await page.$eval("#data", (field) => (field.value = "by the form"));
  await page.type("#type", "note");
  await page.click("#publish button");
  await until(page, () => document.querySelectorAll("#events li").length === 1);
  await until(page, () => /^Published .*\.1 to 1 receiver/.test(document.getElementById("answer").textContent));

  await hub.publish({ data: { from: "elsewhere", markup: "<b>&amp;" } });
  await until(page, () => document.querySelectorAll("#events li").length === 2);
  assert.deepEqual(await shown(page), [
    { type: "message", data: '{\n  "from": "elsewhere",\n  "markup": "<b>&amp;"\n}' },
    { type: "note", data: "by the form" },
  ]);
  assert.deepEqual(complaints, []);
});

test("the console watches another channel, and says that a publish was refused", async (t) => {
  const hub = await startHub(t);
  const { page, complaints } = await openConsole(t, hub);
  await hub.publish({ channel: "it's news", data: "before" });
  await page.$eval("#watch-channel", (field) => (field.value = "it's news"));
  await page.click("#watch button");
  // The newest events of a channel are there at once.
  await until(page, () => document.querySelectorAll("#events li").length === 1);
  assert.deepEqual(await shown(page), [{ type: "message", data: "before" }]);

  await page.type("#type", "stream-reset");
  await page.click("#publish button");
  await until(page, () => document.getElementById("answer").hasAttribute("data-bad"));
  assert.match(await page.$eval("#answer", (answer) => answer.textContent), /reserved/);
  // That a request was answered by 400 the browser writes to its console by itself.
  assert.deepEqual(complaints.filter((text) => !text.includes("400")), []);
});

test("the console fits its window", async (t) => {
  const hub = await startHub(t);
  const { page, complaints } = await openConsole(t, hub);
  const folder = process.env.TIDECAST_SCREENSHOTS;
  if (folder) await mkdir(folder, { recursive: true });
  const take = async (what) => {
    for (const scheme of ["light", "dark"]) {
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      for (const width of [1280, 390]) {
        await page.setViewport({ width, height: 800 });
        const wider = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(wider <= 0, `${what} at ${width} px is wider than its window by ${wider} px`);
        if (folder) await page.screenshot({ path: join(folder, `console-${what}-${width}-${scheme}.png`) });
      }
    }
  };
  await take("empty");
  await hub.publish({ type: "greeting", data: { message: "Hello!" } });
  await hub.publish({ data: "a line of text" });
  await hub.publish({ data: `a word without an end: ${"0123456789".repeat(40)}`, id: "i".repeat(255) });
  await hub.publish({ data: { order: 17, items: [{ name: "tea", count: 2 }], note: "two\nlines" } });
  await until(page, () => document.querySelectorAll("#events li").length === 4);
  await take("events");
  assert.deepEqual(complaints, []);
});
