// Reads the stream of a channel, and reconnects and resumes when it is lost.
//
// It uses fetch and neither EventSource nor /tidecast.js: those dispatch only types that have listeners, while the console
// shows every type, and they do not report why a connection ended.

import { authorization, key, unreached } from "./publish.js";

const LAST = 50;
const RETRY_MS = 3_000;
const DELAY_MS_MAX = 30_000;

export class Stream {
  #channel;
  #handlers;
  #abort = new AbortController();
  #lastEventId = "";
  #retryMs = RETRY_MS;
  #failures = 0;
  #wake = () => {};

  /**
   * `handlers.state` is called with `{ phase, reason, delayMs }`, where the phase is `connecting`, `live` or `lost`, and
   * `handlers.events` with the received events, objects of `type`, `id` and `data`.
   */
  constructor(channel, handlers) {
    this.#channel = channel;
    this.#handlers = handlers;
    this.#run();
  }

  close() {
    this.#abort.abort();
    this.#wake();
  }

  /** Opens a closed stream again, after the last event. */
  reopen() {
    this.#abort = new AbortController();
    this.#run();
  }

  /** Ends the delay before a reconnect, if there is one. */
  connectNow() {
    this.#wake();
  }

  async #run() {
    const closed = this.#abort.signal;
    while (!closed.aborted) {
      this.#handlers.state({ phase: "connecting" });
      const reason = await this.#read(closed);
      if (closed.aborted) return;
      const delayMs = Math.min(this.#retryMs * 2 ** this.#failures++, DELAY_MS_MAX) * (0.75 + Math.random() / 4);
      this.#handlers.state({ phase: "lost", reason, delayMs });
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, delayMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Reads one connection to its end, and returns the reason of the end. */
  async #read(signal) {
    // In the query, because fetch does not accept every id in a header.
    const from = this.#lastEventId ? { last_event_id: this.#lastEventId } : { last: LAST };
    let response;
    try {
      const query = new URLSearchParams({ channel: this.#channel, ...from });
      // A hub with tickets accepts the key as well.
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
        // A stream that the hub admits begins with a comment.
        if (decoder.comments > 0 && !isLive) {
          isLive = true;
          this.#failures = 0;
          this.#handlers.state({ phase: "live" });
        }
        if (events.length > 0) this.#handlers.events(events);
      }
    } catch {
      return "the connection broke";
    }
    return isLive ? "the hub ended the stream" : "the hub has reached its limit on streams";
  }
}

async function refusal(response) {
  const problem = await response.json().catch(() => null);
  // The hub's message is for programs.
  if (response.status === 401 && problem?.detail) {
    return `reading needs a ticket or the publish key: enter the ${key() ? "right " : ""}key in the form`;
  }
  return `${response.status} ${problem?.detail ?? (response.statusText || "and the response is not an event stream")}`;
}

/** Decodes bytes into events (HTML standard, section 9.2.6). */
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
    // A carriage return at the end may be the first half of a line end.
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
      // The id of the first block takes effect at once, as no empty line follows it. An event has its id after its data.
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
