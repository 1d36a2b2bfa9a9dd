// curl in place of a browser, started again with the last id that it printed.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";

import { within } from "./support/deadline.js";
import { startHub } from "./support/hub.js";
import { logLines } from "./support/log_lines.js";

test("curl receives every line of a log once and in order, although it is ended once", async (t) => {
  const hub = await startHub(t);
  const lines = await logLines();
  const address = `${hub.address}/stream?channel=log`;
  const half = Math.floor(lines.length / 2);

  const first = startCurl(t, address);
  await within("curl has the first block", first.has((stream) => stream.printed.includes("\nid: ")));
  for (const [index, line] of lines.entries()) {
    await hub.publish({ channel: "log", data: line });
    // It is ended in the middle: it has printed some lines, and not all that were published.
    if (index === half) {
      await within("curl shows events", first.has((stream) => stream.events.length > 0));
      await first.end();
    }
  }
  const second = startCurl(t, address, "-H", `Last-Event-ID: ${first.lastId}`);
  await within("curl shows the rest", second.has((stream) => first.events.length + stream.events.length >= lines.length));
  await second.end();

  const events = [...first.events, ...second.events];
  t.diagnostic(`${lines.length} lines in, ${first.events.length} + ${second.events.length} events out`);
  for (const [index, line] of lines.entries()) {
    assert.equal(events[index], line.replaceAll(/\r\n?/g, "\n"), `line ${index}`);
  }
  assert.equal(events.length, lines.length);
});

/** Runs curl on a stream and reads complete blocks of its output. */
function startCurl(t, address, ...options) {
  const curl = spawn("curl", ["--silent", "--no-buffer", ...options, address], { stdio: ["ignore", "pipe", "inherit"] });
  // Not `exit`, as its last output may still be in the pipe.
  const ended = once(curl, "close");
  const stream = { events: [], lastId: "", printed: "", has, end };
  let rest = "";
  let changed = () => {};
  curl.stdout.setEncoding("utf8");
  curl.stdout.on("data", (text) => {
    stream.printed += text;
    const blocks = (rest + text).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const values = (name) =>
        block
          .split("\n")
          .filter((line) => line.startsWith(`${name}: `))
          .map((line) => line.slice(name.length + 2));
      stream.lastId = values("id").at(-1) ?? stream.lastId;
      const data = values("data");
      if (data.length > 0) stream.events.push(data.join("\n"));
    }
    changed();
  });

  async function has(condition) {
    while (!condition(stream)) await new Promise((resolve) => (changed = resolve));
  }
  async function end() {
    curl.kill("SIGKILL");
    await ended;
  }
  t.after(end);
  return stream;
}
