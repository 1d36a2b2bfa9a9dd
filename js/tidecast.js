// An EventSource that never gives up.
//
// A browser's own EventSource connects again by itself when a connection is lost, but closes for good when it is
// answered with anything but an event stream: one 502 of a proxy, and the page is deaf. A TidecastSource then opens a new
// one, after a while that grows and is never the same for two pages, and goes on after the last event that it saw.
//
// It is used as an EventSource is. Also: `lastEventId`, where it stands, and an event `reconnecting` with
// `detail.delayMs` before each new attempt of its own.

const FIRST_DELAY_MS = 1_000;
const DELAY_MS_MAX = 30_000;

export class TidecastSource extends EventTarget {
  #address;
  #options;
  #source = null;
  #types = new Set(["message", "stream-open", "stream-reset"]);
  #attempts = 0;
  #timer;
  #closed = false;
  onopen = null;
  onmessage = null;
  onerror = null;
  lastEventId = "";

  /**
   * @param {string | URL} url the stream's address, with its channels
   * @param {EventSourceInit} [options] as of an EventSource
   */
  constructor(url, options = {}) {
    super();
    this.#address = new URL(url, globalThis.location?.href);
    this.#options = options;
    // So that the position is known before the first event, in every browser.
    this.#address.searchParams.set("open", "1");
    for (const type of ["open", "message", "error"]) {
      super.addEventListener(type, (event) => this[`on${type}`]?.(event));
    }
    this.#open();
  }

  get url() {
    return this.#address.href;
  }

  get withCredentials() {
    return this.#options.withCredentials ?? false;
  }

  /** 0 while it connects or waits to, 1 while it is open, 2 once it was closed by `close()`. */
  get readyState() {
    if (this.#closed) return EventSource.CLOSED;
    return this.#source?.readyState === EventSource.OPEN ? EventSource.OPEN : EventSource.CONNECTING;
  }

  addEventListener(type, listener, options) {
    super.addEventListener(type, listener, options);
    if (["open", "error", "reconnecting"].includes(type) || this.#types.has(type)) return;
    this.#types.add(type);
    this.#source?.addEventListener(type, this.#pass);
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#source?.close();
  }

  #open() {
    const source = (this.#source = new EventSource(this.#address, this.#options));
    source.onopen = () => {
      this.#attempts = 0;
      this.dispatchEvent(new Event("open"));
    };
    source.onerror = () => {
      this.dispatchEvent(new Event("error"));
      if (source.readyState === EventSource.CLOSED && !this.#closed) this.#openLater();
    };
    for (const type of this.#types) source.addEventListener(type, this.#pass);
  }

  #openLater() {
    const delayMs = Math.min(FIRST_DELAY_MS * 2 ** this.#attempts++, DELAY_MS_MAX) * (0.5 + Math.random() / 2);
    if (this.lastEventId) this.#address.searchParams.set("last_event_id", this.lastEventId);
    this.#timer = setTimeout(() => this.#open(), delayMs);
    this.dispatchEvent(new CustomEvent("reconnecting", { detail: { delayMs } }));
  }

  #pass = (event) => {
    this.lastEventId = event.lastEventId;
    const { data, origin, lastEventId } = event;
    this.dispatchEvent(new MessageEvent(event.type, { data, origin, lastEventId }));
  };
}
