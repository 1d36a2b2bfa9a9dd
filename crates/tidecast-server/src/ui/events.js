// The list of events, newest first, which can be paused, filtered and cleared. It shows the number of events.

import { show } from "./json.js";

// As many events as a browser lays out quickly. Older ones are removed from the page.
const KEPT_MAX = 1_000;
const KEPT_CHARS_MAX = 16_000_000;
// Interval of updates, each for all new events. Animation frames would not do: a page in the background has none, and the
// waiting events would grow without bound.
const UPDATE_MS = 50;

const RESETS = {
  expired: "some events are no longer retained by the hub, and were missed",
  restarted: "the channel started over: what the hub kept is gone",
  "unknown-id": "the hub does not know the id to resume from",
  "too-slow": "this page read too slowly, and missed events",
  "ambiguous-id": "several events have the id to resume from, so some may be repeated",
};

export class EventList {
  #elements;
  #kept = new Bounded();
  #waiting = new Bounded();
  #isPaused = false;
  #filter = "";
  #total = 0;
  #phase = "connecting";
  #timer = null;

  /** The argument has the elements `list`, `events`, `empty`, `emptyText`, `emptyHow` and `count`. */
  constructor(elements) {
    this.#elements = elements;
  }

  /** Adds events that were just received. */
  add(events) {
    const at = new Date();
    for (const event of events) this.#waiting.add({ ...event, at, row: null });
    this.#total += events.length;
    this.#scheduleUpdate();
  }

  /** Adds a note about the connection. */
  note(text) {
    this.#waiting.add({ type: "", id: "", data: text, isNote: true, at: new Date(), row: null });
    this.#scheduleUpdate();
  }

  /** Sets the state of the connection, `connecting`, `live` or `lost`, which an empty list shows. */
  set phase(phase) {
    this.#phase = phase;
    this.#showCount();
  }

  set isPaused(isPaused) {
    this.#isPaused = isPaused;
    this.#scheduleUpdate();
  }

  set filter(text) {
    this.#filter = text.toLowerCase();
    for (const event of this.#kept.entries) event.row?.remove();
    this.#insert(this.#kept.entries);
    this.#showCount();
  }

  clear() {
    this.#kept = new Bounded();
    this.#waiting = new Bounded();
    this.#total = 0;
    this.#elements.events.replaceChildren();
    this.#showCount();
  }

  #scheduleUpdate() {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      if (!this.#isPaused) this.#showWaiting();
      this.#showCount();
    }, UPDATE_MS);
  }

  #showWaiting() {
    const fresh = this.#waiting.entries;
    this.#waiting = new Bounded();
    for (const event of fresh) {
      for (const old of this.#kept.add(event)) old.row?.remove();
    }
    this.#insert(fresh);
  }

  #insert(events) {
    const rows = events.filter((event) => this.#matches(event)).map((event) => (event.row ??= row(event)));
    const { list, events: rowsElement } = this.#elements;
    // A reader further down keeps the row in view, also in browsers without scroll anchoring.
    const first = list.scrollTop > 0 ? rowsElement.firstElementChild : null;
    const at = first?.getBoundingClientRect().top;
    rowsElement.prepend(...rows.reverse());
    if (first?.isConnected) list.scrollTop += first.getBoundingClientRect().top - at;
  }

  #matches({ type, id, data }) {
    return this.#filter === "" || [type, id, data].some((text) => text.toLowerCase().includes(this.#filter));
  }

  #showCount() {
    const { events, empty, emptyText, emptyHow, count } = this.#elements;
    const number = (count) => count.toLocaleString("en");
    const shown = events.children.length;
    empty.hidden = shown > 0;
    const hides = this.#filter !== "" && this.#kept.entries.length > 0;
    const nothing = { connecting: "Connecting to the hub.", live: "Nothing here yet.", lost: "Not connected." }[this.#phase];
    emptyText.textContent = hides ? "No event matches the filter." : nothing;
    emptyHow.hidden = emptyHow.nextElementSibling.hidden = hides || this.#phase !== "live";
    if (this.#isPaused) {
      const { entries, dropped } = this.#waiting;
      count.textContent = `${number(entries.length)} held${dropped ? `, ${number(dropped)} dropped` : ""}`;
    } else if (this.#filter !== "") {
      count.textContent = `${number(shown)} of ${number(this.#kept.entries.length)} match`;
    } else {
      const events = `${number(this.#total)} event${this.#total === 1 ? "" : "s"}`;
      count.textContent = this.#total > KEPT_MAX ? `newest of ${number(this.#total)}` : events;
    }
  }
}

/** The newest entries, bounded in number and size. */
class Bounded {
  entries = [];
  dropped = 0;
  #chars = 0;

  /** Adds an entry, and returns those that were removed for it. */
  add(entry) {
    this.entries.push(entry);
    this.#chars += entry.data.length;
    const removed = [];
    while (this.entries.length > KEPT_MAX || (this.#chars > KEPT_CHARS_MAX && this.entries.length > 1)) {
      const oldest = this.entries.shift();
      this.#chars -= oldest.data.length;
      removed.push(oldest);
    }
    this.dropped += removed.length;
    return removed;
  }
}

function row(event) {
  const item = document.createElement("li");
  const part = (name, className, text) => {
    const element = document.createElement(name);
    element.className = className;
    element.textContent = text;
    item.append(element);
    return element;
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
  const id = part("span", "id", "");
  id.title = event.id;
  // A long id is cut at its beginning, as the offset is at its end. So the line runs from right to left, but not the text.
  id.append(Object.assign(document.createElement("bdi"), { dir: "ltr", textContent: event.id }));
  if (event.type === "stream-reset") {
    item.className = "reset";
    part("p", "why", RESETS[/"reason":"([a-z-]+)"/.exec(event.data)?.[1]] ?? "events were missed");
  }
  show(part("pre", "data", ""), event.data);
  return item;
}
