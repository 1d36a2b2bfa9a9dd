// The list of events: newest first, paused, filtered, cleared. It says how many there are, and asks nobody for more.

import { show } from "./json.js";

// What a browser still lays out at once. Of more, the oldest go; the hub has them for as long as it keeps them.
const KEPT_MAX = 1_000;
const KEPT_CHARS_MAX = 16_000_000;
// A busy channel has many events between two of these; the list is changed once for all of them. Not by animation
// frames: a page in the background has none, and what waits would grow.
const EVERY_MS = 50;

const RESETS = {
  expired: "some events are older than what the hub keeps, and are missed",
  restarted: "the channel started over: what the hub kept is gone",
  "unknown-id": "the hub does not know the id from which to go on",
  "too-slow": "this page read too slowly, and missed events",
  "ambiguous-id": "several events have the id from which to go on, so some may come again",
};

export class EventList {
  #places;
  #kept = new Bounded();
  #waiting = new Bounded();
  #isPaused = false;
  #filter = "";
  #total = 0;
  #phase = "connecting";
  #timer = null;

  /** `places` are the elements `list`, `events`, `empty`, `emptyText`, `emptyHow` and `count`. */
  constructor(places) {
    this.#places = places;
  }

  /** Adds what came just now. */
  add(events) {
    const at = new Date();
    for (const event of events) this.#waiting.add({ ...event, at, row: null });
    this.#total += events.length;
    this.#later();
  }

  /** Adds a remark on the connection. */
  note(text) {
    this.#waiting.add({ type: "", id: "", data: text, isNote: true, at: new Date(), row: null });
    this.#later();
  }

  /** Whether the page is `connecting`, `live` or `lost`: an empty list says so. */
  set phase(phase) {
    this.#phase = phase;
    this.#tell();
  }

  set isPaused(isPaused) {
    this.#isPaused = isPaused;
    this.#later();
  }

  set filter(text) {
    this.#filter = text.toLowerCase();
    for (const event of this.#kept.entries) event.row?.remove();
    this.#put(this.#kept.entries);
    this.#tell();
  }

  clear() {
    this.#kept = new Bounded();
    this.#waiting = new Bounded();
    this.#total = 0;
    this.#places.events.replaceChildren();
    this.#tell();
  }

  #later() {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      if (!this.#isPaused) this.#take();
      this.#tell();
    }, EVERY_MS);
  }

  #take() {
    const fresh = this.#waiting.entries;
    this.#waiting = new Bounded();
    for (const event of fresh) {
      for (const old of this.#kept.add(event)) old.row?.remove();
    }
    this.#put(fresh);
  }

  #put(events) {
    const rows = events.filter((event) => this.#matches(event)).map((event) => (event.row ??= row(event)));
    const { list, events: place } = this.#places;
    // Who reads further down keeps the row under the eyes, also where the browser does not see to it.
    const first = list.scrollTop > 0 ? place.firstElementChild : null;
    const at = first?.getBoundingClientRect().top;
    place.prepend(...rows.reverse());
    if (first?.isConnected) list.scrollTop += first.getBoundingClientRect().top - at;
  }

  #matches({ type, id, data }) {
    return this.#filter === "" || [type, id, data].some((text) => text.toLowerCase().includes(this.#filter));
  }

  #tell() {
    const { events, empty, emptyText, emptyHow, count } = this.#places;
    const number = (count) => count.toLocaleString("en");
    const shown = events.children.length;
    empty.hidden = shown > 0;
    const hides = this.#filter !== "" && this.#kept.entries.length > 0;
    const nothing = { connecting: "Connecting to the hub.", live: "Nothing here yet.", lost: "Not connected." }[this.#phase];
    emptyText.textContent = hides ? "No event matches the filter." : nothing;
    emptyHow.hidden = emptyHow.nextElementSibling.hidden = hides || this.#phase !== "live";
    if (this.#isPaused) {
      const { entries, dropped } = this.#waiting;
      count.textContent = `${number(entries.length)} held${dropped ? `, ${number(dropped)} let go` : ""}`;
    } else if (this.#filter !== "") {
      count.textContent = `${number(shown)} of ${number(this.#kept.entries.length)} match`;
    } else {
      const events = `${number(this.#total)} event${this.#total === 1 ? "" : "s"}`;
      count.textContent = this.#total > KEPT_MAX ? `newest of ${number(this.#total)}` : events;
    }
  }
}

/** The newest entries, as many as are worth their memory. */
class Bounded {
  entries = [];
  dropped = 0;
  #chars = 0;

  /** Adds one, and answers with those that had to go. */
  add(entry) {
    this.entries.push(entry);
    this.#chars += entry.data.length;
    const gone = [];
    while (this.entries.length > KEPT_MAX || (this.#chars > KEPT_CHARS_MAX && this.entries.length > 1)) {
      const oldest = this.entries.shift();
      this.#chars -= oldest.data.length;
      gone.push(oldest);
    }
    this.dropped += gone.length;
    return gone;
  }
}

function row(event) {
  const item = document.createElement("li");
  const part = (name, className, text) => {
    const made = document.createElement(name);
    made.className = className;
    made.textContent = text;
    item.append(made);
    return made;
  };
  const time = part("time", "at", event.at.toLocaleTimeString("en-GB"));
  time.dateTime = event.at.toISOString();
  time.title = time.dateTime;
  if (event.isNote) {
    item.className = "note";
    part("p", "data", event.data);
    return item;
  }
  part("b", "type", event.type).title = event.type;
  part("span", "id", event.id).title = event.id;
  if (event.type === "stream-reset") {
    item.className = "reset";
    part("p", "why", RESETS[/"reason":"([a-z-]+)"/.exec(event.data)?.[1]] ?? "events were missed");
  }
  show(part("pre", "data", ""), event.data);
  return item;
}
