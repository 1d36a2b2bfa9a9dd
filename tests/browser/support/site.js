// A site with a page, and a proxy to a hub that can be cut.

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { connect, createServer } from "node:net";

const PAGE = await readFile(new URL("page.html", import.meta.url));
const BAD_GATEWAY = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/** Starts a site that ends with the test `t`. Without a hub's port it serves its page only. */
export async function startSite(t, hubPort) {
  const connections = new Set();
  const site = {
    /** The heads of the requests for streams, in order. */
    streams: [],
    /** Whether new connections are closed at once. */
    isAway: false,
    /** Whether requests for streams get a 502, as from a proxy that cannot reach its hub. */
    isBadGateway: false,
    /** Breaks every connection. */
    cut() {
      // Not `resetAndDestroy`: after an incomplete `end`, Node 20 then never exits.
      for (const connection of connections) connection.destroy();
    },
    /** Returns the address of the page that reads `stream`. */
    page(stream, ...switches) {
      return `${this.address}/page?${new URLSearchParams([["stream", stream], ...switches.map((name) => [name, ""])])}`;
    },
  };

  const server = createServer((browser) => {
    browser.on("error", () => {});
    if (site.isAway) return browser.destroy();
    connections.add(browser);
    browser.on("close", () => connections.delete(browser));
    browser.once("data", (first) => {
      // The heads of these tests arrive in one piece.
      const head = first.toString("latin1").split("\r\n\r\n", 1)[0];
      if (head.startsWith("GET /page")) {
        const length = `Content-Length: ${PAGE.length}\r\nConnection: close`;
        browser.write(`HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n${length}\r\n\r\n`);
        return browser.end(PAGE);
      }
      if (!hubPort) return browser.destroy();
      if (head.startsWith("GET /stream")) {
        site.streams.push(head);
        if (site.isBadGateway) return browser.end(BAD_GATEWAY);
      }
      const hub = connect(hubPort, "127.0.0.1");
      hub.on("error", () => browser.destroy());
      hub.on("close", () => browser.end());
      browser.on("close", () => hub.destroy());
      hub.write(first);
      hub.pipe(browser);
      browser.pipe(hub);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    site.cut();
  });
  site.address = `http://127.0.0.1:${server.address().port}`;
  return site;
}
