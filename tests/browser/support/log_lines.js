// The lines of a log to publish: made up as `dpkg.log` has them, or those of the file that TIDECAST_LOG_FILE names.

import { readFile } from "node:fs/promises";

const LINES = 2_000;
const SEED = 0x7_1de;

export async function logLines() {
  const file = process.env.TIDECAST_LOG_FILE;
  if (!file) return madeUp();
  const lines = (await readFile(file, "utf8")).split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

function madeUp() {
  const draw = randomNumbers(SEED);
  const one = (choices) => choices[Math.floor(draw() * choices.length)];
  let time = Date.UTC(2026, 0, 5, 6, 0, 0);
  return Array.from({ length: LINES }, () => {
    // Several lines of a second are the same now and then, as in a real log, so "once" is more than "in the set".
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
