// A Flask application on the Python package, as a separate process.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { within } from "./deadline.js";

const APPS = fileURLToPath(new URL("../../../python/tests/apps", import.meta.url));
const PYTHON =
  process.env.TIDECAST_PYTHON ?? fileURLToPath(new URL("../../../target/tools/python/bin/python", import.meta.url));
// Variables that a developer's environment may have.
const ENVIRONMENT = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^(SSE_|REDIS_URL$)/.test(name)),
);

/** Starts one of the applications of the Python tests on a free port. It ends with the test `t`. */
export async function startFlask(t, program, settings) {
  const flask = spawn(PYTHON, ["-m", "flask", "--app", program, "run", "--port", "0"], {
    cwd: APPS,
    env: { ...ENVIRONMENT, PYTHONUNBUFFERED: "1", ...settings },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  const ended = once(flask, "exit");
  t.after(async () => {
    flask.kill("SIGKILL");
    await ended;
  });
  const port = await within(
    "the application says where it is",
    (async () => {
      for await (const line of createInterface({ input: flask.stderr })) {
        said += `${line}\n`;
        const at = /Running on http:\/\/127\.0\.0\.1:(\d+)/.exec(line);
        if (at) return Number(at[1]);
      }
      throw new Error(`the application did not start: ${said}`);
    })(),
  );
  flask.stderr.resume();
  return { port };
}
