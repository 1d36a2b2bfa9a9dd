// One client from npm: `node npm.js NAME [helped] ADDRESS`. Prints the data of each message as a line of JSON. `helped`
// adds what docs/clients.md recommends.

import { createRequire } from "node:module";

const [name, ...options] = process.argv.slice(2);
const address = options.pop();
const helped = options.includes("helped");
const require = createRequire(import.meta.url);
const print = (data) => console.log(JSON.stringify(data));

// A program with other work: undici's timers do not keep Node alive.
setInterval(() => {}, 60_000);

/** As most pages use an `EventSource`. */
function listen(EventSource, options) {
  const source = new EventSource(address, options);
  source.onmessage = (event) => print(event.data);
  source.onerror = (event) => console.error(`error: ${event?.message ?? event}`);
}

const CLIENTS = {
  EventSource: () => listen(globalThis.EventSource),
  "eventsource 1": () => listen(require("eventsource1")),
  "eventsource 2": () => listen(require("eventsource2")),
  "eventsource 3": async () => listen((await import("eventsource3")).EventSource),
  "eventsource 4": async () => listen((await import("eventsource4")).EventSource),
  undici: async () => listen((await import("undici")).EventSource),
  "launchdarkly-eventsource": () =>
    listen(require("launchdarkly-eventsource").EventSource),
  "reconnecting-eventsource": async () => {
    globalThis.EventSource = (await import("eventsource3")).EventSource;
    listen(require("reconnecting-eventsource").default);
  },

  "eventsource-client": async () => {
    const { createEventSource } = await import("eventsource-client");
    createEventSource({ url: address, onMessage: ({ data }) => print(data) });
  },

  // Only a parser: the program has the loop around it.
  "eventsource-parser": async () => {
    const { createParser } = await import("eventsource-parser");
    let [id, retry] = ["", 100];
    const onEvent = (event) => {
      print(event.data);
      id = event.id ?? id;
    };
    for (;;) {
      try {
        const headers = id ? { "Last-Event-ID": id } : {};
        const response = await fetch(address, { headers });
        const parser = createParser({ onEvent, onRetry: (ms) => (retry = ms) });
        const text = response.body.pipeThrough(new TextDecoderStream());
        for await (const piece of text) parser.feed(piece);
      } catch {
        // Reconnected below.
      }
      await new Promise((resolve) => setTimeout(resolve, retry));
    }
  },

  "@microsoft/fetch-event-source": async () => {
    // It requires a page's environment.
    globalThis.window = globalThis;
    globalThis.document = { addEventListener() {}, removeEventListener() {}, hidden: false };
    const { fetchEventSource } = require("@microsoft/fetch-event-source");
    const onclose = () => {
      throw new Error("the stream ended: reconnect");
    };
    const onmessage = (message) => print(message.data);
    await fetchEventSource(address, { openWhenHidden: true, onmessage, ...(helped ? { onclose } : {}) });
  },

  "extended-eventsource": async () => {
    const { EventSource } = await import("extended-eventsource");
    listen(EventSource);
  },
};

await CLIENTS[name]();
