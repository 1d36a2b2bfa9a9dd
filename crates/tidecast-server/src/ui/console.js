// The page at `/`: puts its parts together.

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
let counting;

function watch(name) {
  stream?.close();
  const isFollowing = ["", channel].includes(element("channel").value);
  if (isFollowing) element("channel").value = name;
  channel = name;
  element("watch-channel").value = name;
  document.title = `${name} · Tidecast`;
  // So that the address can be passed on, and a reload stays where it is.
  history.replaceState(null, "", `?${new URLSearchParams({ channel: name })}`);
  list.clear();
  plot.clear();
  fill();
  element("state-cut").textContent = "no cut so far";
  let phase = "";
  stream = new Stream(name, {
    state(state) {
      if (state.phase === "lost" && phase === "live") cut(state.reason);
      // What it tries in between is of no interest until it has come to something.
      if (state.phase !== "connecting" || phase !== "lost") phase = state.phase;
      tell(phase, state);
      // Who watches a channel makes it one that there is.
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

function tell(phase, { reason, delayMs }) {
  clearInterval(counting);
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
    // On the button and not in the state, which is read out whenever it changes.
    const count = () => {
      button.textContent = `Connect now (${Math.max(Math.ceil((at - Date.now()) / 1_000), 0)} s)`;
    };
    count();
    counting = setInterval(count, 500);
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

element("refresh").addEventListener("click", () => refresh(channels));
// A list that is a minute old is of no use to who opens it.
element("watch-channel").addEventListener("focus", () => refresh(channels));
publishing.start(() => {
  refresh(channels);
  fill();
  // What was refused may not be by now.
  stream.connectNow();
});
watch(new URLSearchParams(location.search).get("channel") || "sse");
