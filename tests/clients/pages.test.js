// Clients in a page in Chromium: the browser's own, and replacements. Each is the row of docs/clients.md of the same
// name.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { useBrowser } from "../browser/support/browser.js";
import { ALL, ALL_OF_THEM, ONCE, WITH_AN_EVENT } from "./expected.js";
import { run, runWith } from "./scenario.js";

const CLIENTS = [
  ["EventSource", ALL],
  // Pages that come from Flask-SSE: all ten failed, as each empty line had been an empty message, which is not JSON.
  ["@microsoft/fetch-event-source", { ...ALL, comesBackAfterAnEnd: false }],
  ["@microsoft/fetch-event-source", ALL, "helped"],
  ["event-source-polyfill", WITH_AN_EVENT],
];

/** Slower clients: `cargo xtask clients --all`. */
const MORE = [
  ["htmx 2", ALL],
  ["htmx 4", WITH_AN_EVENT],
  ["turbo-stream-source", ALL],
  // A proper end is final for it, whatever its options.
  ["datastar", { ...ALL, comesBackAfterAnEnd: false }],
  ["datastar", ALL, "helped"],
  ["Alpine", ALL],
  ["sse.js", ONCE],
  ["sse.js", WITH_AN_EVENT, "helped"],
];

/** Returns the nth event in the form that this client requires. */
const FORMS = {
  "turbo-stream-source": (n) => ({
    data: `<turbo-stream action="update" target="news"><template>${JSON.stringify({ n })}</template></turbo-stream>`,
  }),
  datastar: (n) => ({ type: "datastar-merge-signals", data: `signals ${JSON.stringify({ n })}` }),
};

const browser = useBrowser();
let site;
before(async () => {
  site = await startSite();
});
after(() => {
  site.close();
  site.closeAllConnections();
});

for (const [name, expected, ...options] of ALL_OF_THEM ? [...CLIENTS, ...MORE] : CLIENTS) {
  test(["in a page", name, ...options].join(", "), async (t) => {
    const origin = `http://127.0.0.1:${site.address().port}`;
    const start = async (address) => {
      const page = await browser.open(t);
      const client = { messages: [], said: "", stop: () => page.goto("about:blank") };
      await page.exposeFunction("tell", (data) => client.messages.push(data));
      page.on("pageerror", (error) => (client.said += `${error}\n`));
      await page.goto(`${origin}/programs/page.html?${new URLSearchParams({ name, address, helped: options[0] ?? "" })}`);
      return client;
    };
    const form = FORMS[name];
    const go = form ? runWith.bind(null, form) : run;
    const { said, ...seen } = await go(t, start, expected, "--cors-origin", origin);
    assert.deepEqual(seen, expected, said);
  });
}

/** Serves this folder. A module may be requested without its extension, as bundlers allow. */
async function startSite() {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    const ending = /\.(js|html)$/.test(pathname) ? "" : ".js";
    const file = new URL(`.${pathname}${ending}`, import.meta.url);
    try {
      const content = await readFile(file);
      response.setHeader("Content-Type", file.pathname.endsWith(".html") ? "text/html" : "text/javascript");
      response.end(content);
    } catch {
      response.writeHead(404).end();
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}
