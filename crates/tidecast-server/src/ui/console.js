// The console, the page at `/`: connects its parts.

import { refresh } from "./channels.js";
import { EventList } from "./events.js";
import { Plot } from "./plot.js";
import * as publishing from "./publish.js";
import * as snippets from "./snippets.js";
import { Stream } from "./stream.js";

const element = (id) => document.getElementById(id);

const list = new EventList({
  list: element("list"),
  events: element("events"),
  empty: element("empty"),
  emptyText: element("empty-text"),
  emptyHow: element("empty-how"),
  count: element("count"),
});
const plot = new Plot({ plot: element("plot"), rateNow: element("rate-now"), ratePeak: element("rate-peak") });
const snippet = snippets.start({
  tabs: [...document.querySelectorAll("[role=tab]")],
  panel: element("snippet"),
  copy: element("copy"),
});

const channels = { list: element("channels"), note: element("channels-note") };

let channel = "";
let stream = null;
let countdown;

function watch(name) {
  stream?.close();
  const isFollowing = ["", channel].includes(element("channel").value);
  if (isFollowing) element("channel").value = name;
  channel = name;
  element("watch-channel").value = name;
  document.title = `${name} · Tidecast`;
  // A shared address and a reload keep the channel.
  history.replaceState(null, "", `?${new URLSearchParams({ channel: name })}`);
  list.clear();
  plot.clear();
  fill();
  element("state-cut").textContent = "no cut so far";
  let phase = "";
  stream = new Stream(name, {
    state(state) {
      if (state.phase === "lost" && phase === "live") cut(state.reason);
      // A failed attempt to reconnect keeps the state `lost`.
      if (state.phase !== "connecting" || phase !== "lost") phase = state.phase;
      showState(phase, state);
      // A channel exists as soon as it is watched.
      if (phase === "live") refresh(channels);
    },
    events(events) {
      plot.count(events.length);
      list.add(events);
    },
  });
}

function fill() {
  snippet.fill(channel);
  element("empty-curl").textContent = snippets.curlPublish(channel);
}

function cut(reason) {
  const text = `last cut ${new Date().toLocaleTimeString("en-GB")}: ${reason}`;
  element("state-cut").textContent = element("state-cut").title = text;
  list.note(`cut: ${reason}`);
}

function showState(phase, { reason, delayMs }) {
  clearInterval(countdown);
  list.phase = phase;
  element("state").dataset.phase = phase;
  const text = element("state-text");
  const button = element("connect-now");
  button.textContent = "Connect now";
  if (phase !== "lost") {
    text.textContent = phase === "live" ? `live on ${channel}` : "connecting";
  } else if (reason === undefined) {
    text.textContent = "not connected: trying again";
  } else {
    text.textContent = `not connected: ${reason}`;
    const at = Date.now() + delayMs;
    // The countdown is on the button: screen readers announce every change of the state.
    const count = () => {
      button.textContent = `Connect now (${Math.max(Math.ceil((at - Date.now()) / 1_000), 0)} s)`;
    };
    count();
    countdown = setInterval(count, 500);
  }
  text.title = text.textContent;
}

element("watch").addEventListener("submit", (event) => {
  event.preventDefault();
  watch(element("watch-channel").value || "sse");
});
element("filter").addEventListener("input", (event) => (list.filter = event.target.value));
element("clear").addEventListener("click", () => list.clear());
element("pause").addEventListener("click", () => {
  const isPaused = element("pause").getAttribute("aria-pressed") !== "true";
  element("pause").setAttribute("aria-pressed", isPaused);
  element("pause").textContent = isPaused ? "Resume" : "Pause";
  list.isPaused = isPaused;
});
element("connect-now").addEventListener("click", () => stream.connectNow());
addEventListener("online", () => stream.connectNow());
// A page that was left may be kept for the way back. Meanwhile it needs no stream.
addEventListener("pagehide", () => stream.close());
addEventListener("pageshow", (event) => {
  if (event.persisted) stream.reopen();
});

element("refresh").addEventListener("click", () => refresh(channels));
// The list is refreshed when it is opened.
element("watch-channel").addEventListener("focus", () => refresh(channels));
publishing.start(() => {
  refresh(channels);
  fill();
  // With the new key the hub may accept the stream.
  stream.connectNow();
});
watch(new URLSearchParams(location.search).get("channel") || "sse");
