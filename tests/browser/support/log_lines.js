// Lines of a log to publish: generated in the form of `dpkg.log`, or from the file that TIDECAST_LOG_FILE names.

import { readFile } from "node:fs/promises";

const LINES = 2_000;
const SEED = 0x7_1de;

export async function logLines() {
  const file = process.env.TIDECAST_LOG_FILE;
  if (!file) return generate();
  const lines = (await readFile(file, "utf8")).split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

function generate() {
  const draw = randomNumbers(SEED);
  const one = (choices) => choices[Math.floor(draw() * choices.length)];
  let time = Date.UTC(2026, 0, 5, 6, 0, 0);
  return Array.from({ length: LINES }, () => {
    // Some lines of the same second are equal, as in a real log, so a test must count them.
    if (draw() < 0.2) time += Math.floor(draw() * 90) * 1000;
    const at = new Date(time).toISOString().slice(0, 19).replace("T", " ");
    const name = `${one(["lib", "python3-", "fonts-", ""])}${one(["alder", "birch", "cedar", "elm", "größe"])}`;
    const version = `${Math.floor(draw() * 4)}.${Math.floor(draw() * 10)}-${one(["1", "2+deb13u1", "1~bpo"])}`;
    const what = one(["status unpacked", "status half-configured", "status installed", "trigproc", "configure"]);
    return `${at} ${what} ${name}:amd64 ${version}${one(["", "", " <none>"])}`;
  });
}

// The same numbers in every run: a linear congruential generator, of which the upper bits are used.
function randomNumbers(seed) {
  let state = BigInt(seed);
  return () => {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
    return Number(state >> 32n) / 2 ** 32;
  };
}
