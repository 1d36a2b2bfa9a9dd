// The scenario that every client passes, and its outcome.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

import { startHub } from "../browser/support/hub.js";
import { startProxy } from "./proxy.js";

/** How long an expected event may take, and how long the test waits for an unexpected one. */
const PATIENCE_MS = 15_000;
const ABSENCE_MS = 4_000;

const EVENTS = 10;

/** Starts a client as a program that prints the data of its messages line by line. */
export function startProgram(t, command, address) {
  const [program, ...options] = command;
  const process = spawn(program, [...options, address], { stdio: ["ignore", "pipe", "pipe"] });
  const client = { messages: [], said: "", hasEnded: false };
  createInterface({ input: process.stdout }).on("line", (line) => client.messages.push(JSON.parse(line)));
  process.stderr.on("data", (text) => (client.said += text));
  const ended = once(process, "close").then(() => (client.hasEnded = true));
  client.stop = async () => {
    process.kill("SIGKILL");
    await ended;
  };
  t.after(client.stop);
  return client;
}

/**
 * Runs a client that reads, is cut off, and reconnects.
 *
 * @param start starts the client with an address, and returns its messages so far and how to stop it
 * @param expected what the client should do; the test waits less long for anything else
 * @param options of the hub
 */
export async function run(t, start, expected, ...options) {
  return runWith((n) => ({ data: { n } }), t, start, expected, ...options);
}

/** As `run`, for a client that accepts only events of one form: `event` returns the nth without its channel. */
export async function runWith(event, t, start, expected, ...options) {
  const publisher = (hub, channel) => async (n) => hub.publish({ channel, ...event(n) });
  const numbers = (client) => client.messages.map(number);
  const soon = (what, is) => until(is, expected[what] === false ? ABSENCE_MS : PATIENCE_MS);
  const seen = {};

  const hub = await startHub(t, "--keep-alive", "200ms", ...options);
  const proxy = await startProxy(t, hub.port);
  const publish = publisher(hub, "c");
  const client = await start(`${proxy.address}/stream?channel=c`);
  // The first block, and two keep-alive comments.
  await until(() => /\nid: [\s\S]*:\n[\s\S]*:\n/.test(proxy.passed), PATIENCE_MS);
  for (let n = 1; n <= EVENTS; n++) await publish(n);
  await until(() => numbers(client).includes(EVENTS), PATIENCE_MS);
  seen.empty = client.messages.filter((data) => !data).length;
  seen.parsed = new Set(numbers(client).filter((n) => n !== null)).size;

  proxy.cut();
  for (let n = EVENTS + 1; n <= EVENTS + 3; n++) await publish(n);
  proxy.restore();
  await soon("resumes", () => numbers(client).includes(EVENTS + 3));
  await publish(EVENTS + 4);
  await soon("resumes", () => numbers(client).includes(EVENTS + 4));
  const all = Array.from({ length: EVENTS + 4 }, (_, index) => index + 1);
  seen.resumes = isEqual(numbers(client).filter((n) => n !== null), all);
  await client.stop();

  // The server ends the stream properly, as at the end of its lifetime.
  const ending = await startHub(t, "--stream-lifetime", "1s", ...options);
  const before = await startProxy(t, ending.port);
  const early = await start(`${before.address}/stream?channel=c`);
  await until(() => before.passed.includes("\nid: "), PATIENCE_MS);
  await publisher(ending, "c")(1);
  await until(() => numbers(early).includes(1), PATIENCE_MS);
  await until(() => before.passed.includes("\r\n0\r\n\r\n"), PATIENCE_MS);
  await publisher(ending, "c")(2);
  seen.comesBackAfterAnEnd = await soon("comesBackAfterAnEnd", () => numbers(early).includes(2));
  await early.stop();

  for (const [what, query] of [["keepsItsPlace", ""], ["keepsItsPlaceWithOpen", "&open=1"]]) {
    const proxy = await startProxy(t, hub.port);
    const channel = what;
    const quiet = await start(`${proxy.address}/stream?channel=${channel}${query}`);
    await until(() => /\nid: [\s\S]*:\n/.test(proxy.passed), PATIENCE_MS);
    proxy.cut();
    await publisher(hub, channel)(1);
    proxy.restore();
    seen[what] = await soon(what, () => numbers(quiet).includes(1));
    await quiet.stop();
  }
  seen.said = client.said + early.said;
  return seen;
}

function number(data) {
  try {
    return JSON.parse(data).n ?? null;
  } catch {
    return null;
  }
}

function isEqual(one, other) {
  return one.length === other.length && one.every((value, index) => value === other[index]);
}

/** Waits until a condition holds, and returns whether it did. */
async function until(is, ms) {
  for (const end = Date.now() + ms; Date.now() < end; ) {
    if (is()) return true;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return is();
}
