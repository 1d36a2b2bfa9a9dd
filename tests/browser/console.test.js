// The hub's console in each browser. With TIDECAST_SCREENSHOTS, Chromium also writes screenshots into that folder, and
// replaces the one in the documentation.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { BROWSERS, until, useBrowser } from "./support/browser.js";
import { startHub } from "./support/hub.js";
import { startSite } from "./support/site.js";

const FOLDER = process.env.TIDECAST_SCREENSHOTS;
const PICTURE = fileURLToPath(new URL("../../docs/console.png", import.meta.url));
const KEY = "the-right-key-of-32-bytes-or-more";

/** Opens the console and collects its errors. */
async function openConsole(t, browser, address, isOpen = untilLive) {
  const page = await browser.open(t);
  const complaints = [];
  page.on("console", (message) => {
    if (["error", "warn"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.evaluateOnNewDocument(() => {
    window.violations = [];
    addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
  });
  await page.setViewport({ width: 1280, height: 800 });
  await page.goto(address);
  await isOpen(page);
  return {
    page,
    /** Fails if the console has logged an error, except for those that a browser logs about expected responses. */
    async isQuiet(...expected) {
      assert.deepEqual(await page.evaluate(() => window.violations), []);
      assert.deepEqual(complaints.filter((text) => !expected.some((pattern) => pattern.test(text))), []);
    },
  };
}

function untilLive(page) {
  return until(page, () => document.getElementById("state").dataset.phase === "live");
}

function untilShown(page, count) {
  return until(page, (count) => document.querySelectorAll("#events li:not(.note)").length === count, count);
}

const text = (page, id) => page.$eval(`#${id}`, (place) => place.textContent);
const set = (page, id, value) =>
  page.$eval(
    `#${id}`,
    (field, value) => {
      field.value = value;
      field.dispatchEvent(new Event("input", { bubbles: true }));
      field.dispatchEvent(new Event("change", { bubbles: true }));
    },
    value,
  );

function shown(page) {
  return page.$$eval("#events li:not(.note)", (items) =>
    items.map((item) => ({
      type: item.querySelector(".type").textContent,
      data: item.querySelector(".data").textContent,
    })),
  );
}

/** Returns the places of everything that must not move while the list changes. */
function places(page) {
  return page.evaluate(() =>
    ["header", "#rate", "#tools", "#list", "#publish", "#snippets", "#pause", "#clear", "#filter"].map((name) => {
      const { x, y, width, height } = document.querySelector(name).getBoundingClientRect();
      return [name, x, y, width, height];
    }),
  );
}

for (const name of BROWSERS) {
  describe(name, () => {
    const browser = useBrowser(name);

    test("a channel is chosen from the list, and events of every type are shown", async (t) => {
      const hub = await startHub(t);
      await hub.publish({ channel: "it's news/ü", type: "never heard of", data: "before" });
      const { page, isQuiet } = await openConsole(t, browser, hub.address);
      const empty = await text(page, "empty");
      assert.match(empty, /Nothing here yet\.[^]*curl http.*\/publish -d channel=sse -d data=hello/);
      await page.click("#refresh");
      await until(page, () => document.querySelectorAll("#channels option").length === 2);
      assert.match(await text(page, "channels-note"), /^2 channels known to the hub$/);
      const options = await page.$$eval("#channels option", (options) => options.map(({ value }) => value));
      assert.deepEqual(options, ["it's news/ü", "sse"]);

      await set(page, "watch-channel", options[0]);
      await page.click("#watch button:not([type])");
      await untilShown(page, 1);
      assert.deepEqual(await shown(page), [{ type: "never heard of", data: "before" }]);
      assert.equal(await text(page, "state-text"), "live on it's news/ü");
      assert.equal(new URL(page.url()).searchParams.get("channel"), "it's news/ü");
      assert.equal(await page.$eval("#channel", (field) => field.value), "it's news/ü");

      await hub.publish({ channel: "it's news/ü", data: { from: "elsewhere", markup: "<b>&amp;", price: 0 } });
      await untilShown(page, 2);
      const [newest] = await shown(page);
      assert.equal(newest.data, '{ "from": "elsewhere", "markup": "<b>&amp;", "price": 0 }');
      await page.reload();
      await untilLive(page);
      await untilShown(page, 2);
      await isQuiet();
    });

    test("JSON is formatted with its numbers unchanged", async (t) => {
      const hub = await startHub(t);
      const { page, isQuiet } = await openConsole(t, browser, hub.address);
      const short = '"a": 1.10, "big": 12345678901234567890, "none": {}, "list": [true, "x:,\\"y{"], "e": []';
      const body = `{${short}, "long": [{"of": "letters"}, "${"z".repeat(60)}"]}`;
      const headers = { "Content-Type": "text/plain" };
      await fetch(`${hub.address}/publish`, { method: "POST", headers, body });
      await fetch(`${hub.address}/publish`, { method: "POST", headers, body: "{not JSON" });
      await fetch(`${hub.address}/publish`, { method: "POST", headers, body: "two\r\nlines\n" });
      await untilShown(page, 3);
      const [lines, text, json] = (await shown(page)).map(({ data }) => data);
      assert.equal(
        json,
        [
          "{",
          '  "a": 1.10,',
          '  "big": 12345678901234567890,',
          '  "none": {},',
          '  "list": [ true, "x:,\\"y{" ],',
          '  "e": [],',
          '  "long": [',
          '    { "of": "letters" },',
          `    "${"z".repeat(60)}"`,
          "  ]",
          "}",
        ].join("\n"),
      );
      assert.equal(text, "{not JSON");
      assert.equal(lines, "two\nlines\n");
      await isQuiet();
    });

    test("the form publishes by keyboard alone and shows errors", async (t) => {
      const hub = await startHub(t);
      const { page, isQuiet } = await openConsole(t, browser, hub.address);
      await page.focus("#data");
      await page.keyboard.down("Control");
      await page.keyboard.press("Enter");
      await page.keyboard.up("Control");
      await untilShown(page, 1);
      assert.deepEqual(await shown(page), [{ type: "message", data: '{ "message": "Hello!" }' }]);
      await until(page, () => /^Published .*\.1 to 1 receiver$/.test(document.getElementById("answer").textContent));

      await set(page, "type", "note");
      await set(page, "id", "an id of its own: ü");
      await set(page, "data", "by the form");
      await page.click("#publish button");
      await untilShown(page, 2);
      assert.equal(await page.$eval("#events .id", (id) => id.textContent), "an id of its own: ü");

      await set(page, "type", "stream-reset");
      await page.click("#publish button");
      await until(page, () => document.getElementById("answer").hasAttribute("data-bad"));
      assert.match(await text(page, "answer"), /^400: .*reserved/);
      await isQuiet(/400/);
    });

    test("the list can be paused, filtered and cleared", async (t) => {
      const hub = await startHub(t);
      const { page, isQuiet } = await openConsole(t, browser, hub.address);
      const publish = (type, data, id) => hub.publish({ type, data, id });
      await publish("price", { eur: 1 });
      await publish("note", "a word");
      await untilShown(page, 2);
      await page.click("#pause");
      assert.equal(await page.$eval("#pause", (button) => button.getAttribute("aria-pressed")), "true");
      await publish("price", { eur: 2 });
      await publish("note", "another", "WORD-7");
      await until(page, () => document.getElementById("count").textContent === "2 held");
      assert.equal((await shown(page)).length, 2);
      await page.click("#pause");
      await untilShown(page, 4);
      const all = (await shown(page)).map(({ type }) => type);
      assert.deepEqual(all, ["note", "price", "note", "price"]);

      const filtered = async (text, count) => {
        await set(page, "filter", text);
        await untilShown(page, count);
        return (await shown(page)).map(({ data }) => data);
      };
      assert.deepEqual(await filtered("word", 2), ["another", "a word"]);
      assert.equal(await text(page, "count"), "2 of 4 match");
      assert.equal((await filtered("PRICE", 2)).length, 2);
      assert.deepEqual(await filtered("nowhere", 0), []);
      assert.equal(await text(page, "empty-text"), "No event matches the filter.");
      await publish("note", "nowhere else");
      await untilShown(page, 1);
      assert.equal((await filtered("", 5)).length, 5);
      await page.click("#clear");
      await untilShown(page, 0);
      assert.equal(await text(page, "count"), "0 events");
      await isQuiet();
    });

    test("snippets contain the channel, follow the arrow keys and can be copied", async (t) => {
      const hub = await startHub(t);
      const { page, isQuiet } = await openConsole(t, browser, `${hub.address}/?channel=a%20b%22`);
      const stream = `${hub.address}/stream?channel=a+b%22`;
      assert.ok((await text(page, "snippet")).includes(`curl -N \\\n  '${stream}'`));
      assert.ok((await text(page, "snippet")).includes(`--data-urlencode 'channel=a b"' -d data=hello`));
      await page.focus("#tab-curl");
      for (const [language, part] of [
        ["javascript", `new TidecastSource("${stream}")`],
        ["python", `{"channel": "a b\\"", "data"`],
        ["rust", `("channel", "a b\\"")`],
      ]) {
        await page.keyboard.press("ArrowRight");
        assert.equal(await page.evaluate(() => document.activeElement.dataset.language), language);
        assert.ok((await text(page, "snippet")).includes(part), `${language} has ${part}`);
      }
      await page.evaluate(() => {
        navigator.clipboard.writeText = async (text) => void (window.copied = text);
      });
      await page.click("#copy");
      await until(page, () => document.getElementById("copy").textContent === "Copied");
      assert.equal(await page.evaluate(() => window.copied), await text(page, "snippet"));
      await until(page, () => document.getElementById("copy").textContent === "Copy");
      // Without a clipboard the text is at least selected.
      await page.evaluate(() => {
        navigator.clipboard.writeText = () => Promise.reject(new Error("not here"));
      });
      await page.click("#copy");
      await until(page, () => document.getElementById("copy").textContent === "Press Ctrl+C");
      assert.ok((await page.evaluate(() => getSelection().toString())).includes("a b\\\""));
      await isQuiet();
    });

    test("a hub with a key: without a key, with a wrong one, with the right one", async (t) => {
      const hub = await startHub(t, "--publish-key", KEY);
      const { page, isQuiet } = await openConsole(t, browser, hub.address);
      await until(page, () => /enter the publish key/.test(document.getElementById("channels-note").textContent));
      const answer = async (key, pattern) => {
        await set(page, "key", key);
        await page.click("#publish button");
        await until(page, (source) => new RegExp(source).test(document.getElementById("answer").textContent), pattern);
      };
      await answer("", "^401: the publish key is missing");
      await answer("a-wrong-one", "^401: the publish key is wrong");
      await answer("ключ", "letters that a key can't have");
      await answer(KEY, "^Published");
      await untilShown(page, 1);
      await until(page, () => /^1 channel known/.test(document.getElementById("channels-note").textContent));
      assert.match(await text(page, "snippet"), /Authorization: Bearer \$TIDECAST_PUBLISH_KEY/);
      assert.doesNotMatch(await page.content(), /the-right-key/);
      assert.deepEqual(
        await page.evaluate(() => [Object.keys(sessionStorage), Object.keys(localStorage), document.cookie]),
        [["tidecast-key"], [], ""],
      );
      assert.doesNotMatch(page.url(), /key/);
      await isQuiet(/401/);
    });

    test("a hub that requires tickets is read with the key", async (t) => {
      const hub = await startHub(t, "--publish-key", KEY, "--tickets");
      const refused = (what) => (page) =>
        until(page, (what) => document.getElementById("state-text").textContent.endsWith(what), what);
      const { page, isQuiet } = await openConsole(t, browser, hub.address, refused("publish key: enter the key in the form"));
      await set(page, "key", "a-wrong-one");
      await refused("publish key: enter the right key in the form")(page);
      await set(page, "key", "ключ");
      await refused("the key has letters that a key can't have")(page);
      // At once, not at the next attempt.
      await set(page, "key", KEY);
      await untilLive(page);
      await page.click("#publish button:not([type])");
      await untilShown(page, 1);
      assert.doesNotMatch(await page.content(), /the-right-key/);
      await isQuiet(/401/);
    });

    test("the state of the connection: cut, refused, and resumed", async (t) => {
      const hub = await startHub(t);
      const site = await startSite(t, hub.port);
      const { page, isQuiet } = await openConsole(t, browser, site.address);
      await hub.publish({ data: "one" });
      await untilShown(page, 1);
      site.isBadGateway = true;
      site.cut();
      await until(page, () => /^not connected: 502/.test(document.getElementById("state-text").textContent));
      assert.match(await text(page, "state-cut"), /^last cut \d\d:\d\d:\d\d: the connection broke$/);
      assert.match(await text(page, "connect-now"), /^Connect now/);
      await hub.publish({ data: "two" });
      site.isBadGateway = false;
      await page.click("#connect-now");
      await untilLive(page);
      await untilShown(page, 2);
      assert.deepEqual((await shown(page)).map(({ data }) => data), ["two", "one"]);
      assert.equal(await page.$$eval("#events .note", (notes) => notes.length), 1);

      await hub.stop();
      await until(page, () => /the hub can't be reached/.test(document.getElementById("state-text").textContent));
      assert.match(await text(page, "state-cut"), /: the hub ended the stream$/);
      await startHub(t, "--listen", `127.0.0.1:${hub.port}`);
      await until(page, () => document.querySelectorAll("#events .reset").length === 1);
      assert.match(await page.$eval("#events .reset .why", (why) => why.textContent), /started over/);
      await isQuiet(/502|ERR_|Failed to load|NetworkError/);
    });

    // The hub sent events to pages that were left and kept for the way back.
    test("a page that was left has no stream, and resumes if it is shown again", async (t) => {
      const hub = await startHub(t);
      const { page, isQuiet } = await openConsole(t, browser, hub.address);
      const transition = (type) =>
        page.evaluate((type) => dispatchEvent(new PageTransitionEvent(type, { persisted: true })), type);
      await transition("pagehide");
      let receivers = 1;
      for (let number = 0; receivers > 0; number++) ({ receivers } = await hub.publish({ type: "left", data: number }));
      await transition("pageshow");
      await hub.publish({ data: "shown again" });
      await until(page, () => /shown again/.test(document.querySelector("#events .data")?.textContent));
      const numbers = (await shown(page)).slice(1).map(({ data }) => Number(data));
      assert.deepEqual(numbers.reverse(), [...numbers.keys()]);
      await isQuiet();
    });

    test("more than a thousand events move neither the page around the list nor the row that is read", async (t) => {
      const hub = await startHub(t);
      const { page, isQuiet } = await openConsole(t, browser, hub.address);
      const before = await places(page);
      const batch = (from, count) =>
        Array.from({ length: count }, (_, index) => ({ type: "load", data: { number: from + index, of: "many" } }));
      await hub.publish(batch(0, 900));
      await untilShown(page, 900);
      await page.$eval("#list", (list) => (list.scrollTop = 5_000));
      const read = () =>
        page.evaluate(() => {
          const top = (place) => place.getBoundingClientRect().top;
          const isRead = (row) => top(row) > top(document.getElementById("list")) + 50;
          window.row ??= [...document.querySelectorAll("#events li")].find(isRead);
          return top(window.row);
        });
      await new Promise((resolve) => setTimeout(resolve, 200));
      const at = await read();
      await hub.publish(batch(900, 50));
      await untilShown(page, 950);
      await new Promise((resolve) => setTimeout(resolve, 200));
      assert.ok(Math.abs((await read()) - at) <= 2, `the row that was read went from ${at} to ${await read()}`);

      await hub.publish(batch(950, 500));
      await until(page, () => document.getElementById("count").textContent === "newest of 1,450");
      await untilShown(page, 1_000);
      assert.match((await shown(page))[0].data, /"number": 1449/);
      assert.deepEqual(await places(page), before);
      await isQuiet();
    });
  });
}

describe("layout", () => {
  const browser = useBrowser();

  test("the console fits its window", async (t) => {
    const hub = await startHub(t);
    const site = await startSite(t, hub.port);
    const { page, isQuiet } = await openConsole(t, browser, `${site.address}/?channel=orders`);
    if (FOLDER) await mkdir(FOLDER, { recursive: true });
    const take = async (what) => {
      for (const scheme of ["light", "dark"]) {
        await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
        for (const width of [1280, 390]) {
          await page.setViewport({ width, height: 800 });
          const wider = await page.evaluate(() => {
            const right = (place) => place.getBoundingClientRect().right;
            const sticksOut = (place) => right(place) > innerWidth && !place.closest("pre, #list");
            const names = [...document.querySelectorAll("body *")].filter(sticksOut).map((place) => place.outerHTML);
            return document.documentElement.scrollWidth > innerWidth ? ["the page", ...names] : names;
          });
          assert.deepEqual(wider, [], `${what} at ${width} px`);
          if (!FOLDER) continue;
          const fullPage = width < 1000;
          await page.screenshot({ path: join(FOLDER, `console-${what}-${width}-${scheme}.png`), fullPage });
        }
      }
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "light" }]);
      await page.setViewport({ width: 1280, height: 800 });
    };
    await take("empty");

    const publish = (event) => hub.publish({ channel: "orders", ...event });
    await publish({ data: "a line of text" });
    await publish({ data: `a word without an end: ${"0123456789".repeat(40)}`, id: "i".repeat(255) });
    // A shop on a busy day, with a changing rate for the screenshot.
    const goods = ["tea", "coffee", "oat biscuits", "marmalade"];
    const seconds = FOLDER ? 45 : 1;
    let number = 4_710;
    for (let second = 0; second < seconds; second++) {
      const count = Math.round(9 + 7 * Math.sin(second / 5) + 4 * Math.sin(second * 2.3));
      for (const last = number + Math.max(count, 1); number < last; number++) {
        const name = goods[number % 4];
        const items = [{ name, count: 1 + (number % 3) }];
        if (number % 3 === 0) {
          await publish({ type: "order", data: { order: number, items, total: 4.5 * (1 + (number % 5)) } });
        } else if (number % 7 === 0) {
          await publish({ data: `delivery ${number} has left the harbour` });
        } else {
          await publish({ type: "stock", data: { item: name, left: 400 - (number % 97) } });
        }
      }
      if (second + 1 < seconds) await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
    await page.type("#type", "order");
    await page.$eval("#data", (field) => {
      field.value = '{"order": 5001, "items": [{"name": "tea", "count": 2}], "total": 9.00}';
    });
    await page.click("#publish button");
    await until(page, () => /^Published/.test(document.getElementById("answer").textContent));
    await until(page, () => /5001/.test(document.querySelector("#events .data").textContent));
    await until(page, () => document.getElementById("rate-now").textContent !== "0");
    if (FOLDER) await page.screenshot({ path: PICTURE });
    await take("busy");

    site.isBadGateway = true;
    site.cut();
    await until(page, () => /^not connected: 502/.test(document.getElementById("state-text").textContent));
    await take("disconnected");
    await isQuiet(/502|ERR_/);
  });
});
