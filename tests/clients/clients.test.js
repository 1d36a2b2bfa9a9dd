// Clients from npm, PyPI and the shell against a hub. Each is the row of docs/clients.md of the same name.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { ALL, ALL_OF_THEM, ONCE, WITH_AN_EVENT } from "./expected.js";
import { run, startProgram } from "./scenario.js";

const program = (name) => fileURLToPath(new URL(`programs/${name}`, import.meta.url));
const PYTHON = process.env.TIDECAST_CLIENTS_PYTHON;
/** Programs that `cargo xtask clients --all` has built. */
const { TIDECAST_CLIENTS_GO: GO, TIDECAST_CLIENTS_CLASSPATH: CLASSPATH } = process.env;

const NPM = [
  ["eventsource 1", ALL],
  ["eventsource 2", ALL],
  ["eventsource 3", WITH_AN_EVENT],
  ["eventsource 4", WITH_AN_EVENT],
  ["undici", ALL],
  ["eventsource-client", WITH_AN_EVENT],
  ["eventsource-parser", WITH_AN_EVENT],
  // Under Node it takes a cut for an end. In a page a cut is an error, after which it reconnects.
  ["@microsoft/fetch-event-source", ONCE],
  ["@microsoft/fetch-event-source", ALL, "helped"],
  // It sends the headers of a browser and delivers the first block.
  ["extended-eventsource", { ...ALL, empty: 1 }],
  ["reconnecting-eventsource", WITH_AN_EVENT],
  ["launchdarkly-eventsource", WITH_AN_EVENT],
];

/** Node's own EventSource, which not every Node has. */
const EXPERIMENTAL = "--experimental-eventsource";
const NODE = [["EventSource", ALL]];

const PYPI = [
  ["sseclient-py", ONCE],
  ["sseclient-py", WITH_AN_EVENT, "helped"],
  ["httpx-sse", ONCE],
  ["httpx-sse", WITH_AN_EVENT, "helped"],
  ["requests-sse", WITH_AN_EVENT],
  // A cut is an error that ends its loop; after an end it reconnects.
  ["aiohttp-sse-client2", { ...ONCE, comesBackAfterAnEnd: true }],
  ["aiosseclient", ONCE],
];

/** Slower clients: `cargo xtask clients --all`. */
const MORE_OF_PYPI = [
  // A cut is an exception that ends its loop; after an end it reconnects.
  ["sseclient", { ...ONCE, comesBackAfterAnEnd: true }],
  ["sseclient", WITH_AN_EVENT, "helped"],
  ["httpie", ONCE],
  ["httpie", ALL, "helped"],
  ["wget", ONCE],
  ["wget", ALL, "helped"],
];

const IN_GO = [
  // It returns at a proper end.
  ["r3labs/sse", { ...ALL, comesBackAfterAnEnd: false }],
  ["r3labs/sse", ALL, "helped"],
  ["tmaxmax/go-sse", WITH_AN_EVENT],
  ["launchdarkly/eventsource", WITH_AN_EVENT],
  ["donovanhide/eventsource", WITH_AN_EVENT],
];

const ON_THE_JVM = [
  ["okhttp-sse", ONCE],
  ["okhttp-sse", WITH_AN_EVENT, "helped"],
  ["okhttp-eventsource", ONCE],
  ["okhttp-eventsource", WITH_AN_EVENT, "helped"],
  ["HttpClient", ONCE],
  ["HttpClient", ALL, "helped"],
  ["jersey", WITH_AN_EVENT],
  ["webclient", ONCE],
  ["webclient", WITH_AN_EVENT, "helped"],
];

function rows(clients, command) {
  for (const [name, expected, ...options] of clients) {
    test([name, ...options].join(", "), async (t) => {
      const start = (address) => startProgram(t, [...command, name, ...options], address);
      const { said, ...seen } = await run(t, start, expected);
      assert.deepEqual(seen, expected, said);
    });
  }
}

describe("npm", { concurrency: 3 }, () => rows(NPM, [process.execPath, program("npm.js")]));

describe("PyPI", { concurrency: 3 }, () => {
  assert.ok(PYTHON, "TIDECAST_CLIENTS_PYTHON must name a Python with the clients: run `cargo xtask clients`");
  rows(ALL_OF_THEM ? [...PYPI, ...MORE_OF_PYPI] : PYPI, [PYTHON, program("pypi.py")]);
});

if (ALL_OF_THEM && process.allowedNodeEnvironmentFlags.has(EXPERIMENTAL)) {
  describe("Node", () => rows(NODE, [process.execPath, EXPERIMENTAL, program("npm.js")]));
}
if (GO) describe("Go", { concurrency: 3 }, () => rows(IN_GO, [GO]));
if (CLASSPATH) describe("JVM", { concurrency: 2 }, () => rows(ON_THE_JVM, ["java", "-cp", CLASSPATH, "Clients"]));
