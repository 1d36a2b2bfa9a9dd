// The hub under test, as a separate process.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { within } from "./deadline.js";

// The hub of a test must not use a Redis in the developer's environment.
const ENVIRONMENT = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^(TIDECAST_|SSE_REDIS_|REDIS_URL$)/.test(name)),
);
const BINARY =
  process.env.TIDECAST_BIN ?? fileURLToPath(new URL("../../../target/debug/tidecast", import.meta.url));

/**
 * Starts a hub that ends with the test `t`. On a free port, unless `options` has `--listen`.
 * Browsers are told to reconnect soon, so that tests of reconnecting are quick.
 */
export async function startHub(t, ...options) {
  const listen = options.includes("--listen") ? [] : ["--listen", "127.0.0.1:0"];
  const hub = spawn(BINARY, ["serve", "--retry", "200ms", ...listen, ...options], {
    env: ENVIRONMENT,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  hub.stderr.on("data", (text) => (said += text));
  const ended = once(hub, "exit").then(([status, signal]) => ({ status, signal }));
  t.after(async () => {
    hub.kill("SIGKILL");
    await ended;
  });

  const address = await within(
    "the hub says where it is",
    (async () => {
      for await (const line of createInterface({ input: hub.stdout })) {
        const at = /^Tidecast .* is at (http:\/\/[^/]+)\//.exec(line);
        if (at) return at[1];
      }
      throw new Error(`the hub did not start: ${said}`);
    })(),
  );
  hub.stdout.resume();

  return {
    address,
    port: Number(new URL(address).port),

    /** Publishes an event and returns the hub's response. */
    async publish(event) {
      const response = await fetch(`${address}/publish`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(event),
      });
      if (!response.ok) throw new Error(`publishing was refused: ${await response.text()}`);
      return response.json();
    },

    /** Stops the hub as a service manager does, and returns its exit status. */
    async stop() {
      hub.kill("SIGTERM");
      return (await within("the hub ends", ended)).status;
    },

    /** Kills the hub. */
    async kill() {
      hub.kill("SIGKILL");
      await within("the hub is gone", ended);
    },
  };
}
