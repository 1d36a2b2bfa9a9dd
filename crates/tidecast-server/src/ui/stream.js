// A channel as the hub sends it: connects, reads, and connects again where it was.
//
// With fetch, not with an EventSource, and so not with /tidecast.js either: those hand out only the types that they
// were asked for, and a console has to show a type that nobody has told it of. Neither do they say why a connection
// ended.

import { authorization, key, unreached } from "./publish.js";

const LAST = 50;
const RETRY_MS = 3_000;
const DELAY_MS_MAX = 30_000;

export class Stream {
  #channel;
  #hears;
  #abort = new AbortController();
  #lastEventId = "";
  #retryMs = RETRY_MS;
  #failures = 0;
  #wake = () => {};

  /**
   * `hears.state` is called with `{ phase, reason, delayMs }`, where the phase is `connecting`, `live` or `lost`;
   * `hears.events` with what came, as objects of `type`, `id` and `data`.
   */
  constructor(channel, hears) {
    this.#channel = channel;
    this.#hears = hears;
    this.#run();
  }

  close() {
    this.#abort.abort();
    this.#wake();
  }

  /** Does not wait any longer, if it waits. */
  connectNow() {
    this.#wake();
  }

  async #run() {
    const closed = this.#abort.signal;
    while (!closed.aborted) {
      this.#hears.state({ phase: "connecting" });
      const reason = await this.#read(closed);
      if (closed.aborted) return;
      const delayMs = Math.min(this.#retryMs * 2 ** this.#failures++, DELAY_MS_MAX) * (0.75 + Math.random() / 4);
      this.#hears.state({ phase: "lost", reason, delayMs });
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, delayMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Reads one connection to its end, and answers with why it ended. */
  async #read(signal) {
    // In the address, as an id may have letters that fetch does not take in a header.
    const from = this.#lastEventId ? { last_event_id: this.#lastEventId } : { last: LAST };
    let response;
    try {
      const query = new URLSearchParams({ channel: this.#channel, ...from });
      // A hub that wants tickets takes the key as well.
      response = await fetch(`stream?${query}`, { headers: authorization(), signal });
    } catch (error) {
      return unreached(error);
    }
    const type = response.headers.get("Content-Type") ?? "";
    if (response.status !== 200 || !type.startsWith("text/event-stream")) return refusal(response);

    const decoder = new Decoder(this.#lastEventId);
    const reader = response.body.getReader();
    let isLive = false;
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        const events = decoder.feed(value);
        this.#lastEventId = decoder.lastEventId;
        this.#retryMs = decoder.retryMs ?? this.#retryMs;
        // A stream for which the hub has a place begins with a comment.
        if (decoder.comments > 0 && !isLive) {
          isLive = true;
          this.#failures = 0;
          this.#hears.state({ phase: "live" });
        }
        if (events.length > 0) this.#hears.events(events);
      }
    } catch {
      return "the connection broke";
    }
    return isLive ? "the hub ended the stream" : "the hub has no place for another stream";
  }
}

async function refusal(response) {
  const problem = await response.json().catch(() => null);
  // What the hub says is for programs, which may also have a ticket.
  if (response.status === 401 && problem?.detail) {
    return `this hub is read with a ticket or the publish key: give ${key() ? "the right" : "the"} one in the form`;
  }
  return `${response.status} ${problem?.detail ?? (response.statusText || "and no event stream")}`;
}

/** Bytes to events, as the HTML standard has it, section 9.2.6. */
class Decoder {
  lastEventId;
  retryMs = null;
  comments = 0;
  #text = new TextDecoder();
  #rest = "";
  #id;
  #type = "";
  #data = [];

  constructor(lastEventId) {
    this.lastEventId = this.#id = lastEventId;
  }

  feed(bytes) {
    const text = this.#rest + this.#text.decode(bytes, { stream: true });
    // A carriage return at the end may be half of a line's end.
    const end = text.endsWith("\r") ? text.length - 1 : text.length;
    const lines = text.slice(0, end).split(/\r\n|\r|\n/);
    this.#rest = lines.pop() + text.slice(end);
    return lines.map((line) => this.#line(line)).filter((event) => event !== null);
  }

  #line(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (name === "") this.comments++;
    else if (name === "data") this.#data.push(value);
    else if (name === "event") this.#type = value;
    else if (name === "id" && !value.includes("\0")) {
      this.#id = value;
      // That of the first block, behind which there is no empty line: an event has its id behind its data.
      if (this.#data.length === 0) this.lastEventId = value;
    }
    else if (name === "retry" && /^\d+$/.test(value)) this.retryMs = Number(value);
    return null;
  }

  #dispatch() {
    const [data, type] = [this.#data, this.#type];
    this.lastEventId = this.#id;
    this.#data = [];
    this.#type = "";
    return data.length > 0 ? { type: type || "message", id: this.#id, data: data.join("\n") } : null;
  }
}
