// An EventSource that never gives up.
//
// A browser's own EventSource reconnects by itself when a connection is lost, but closes for good on any answer that is
// not an event stream, such as one 502 of a proxy. A TidecastSource then opens a new one, after a delay that grows and
// differs between pages, and resumes after the last event.
//
// It has the interface of an EventSource, and also `lastEventId`, and an event `reconnecting` with `detail.delayMs` before
// each new attempt. A browser does not tell a page why it gave up, so a refusal (401, 403) is retried as well, until
// `close()` is called.
//
// Events may be published with the types `open`, `error` and `reconnecting`. Those are `MessageEvent`s; its own are not.

const FIRST_DELAY_MS = 1_000;
const DELAY_MS_MAX = 30_000;
const STATES = { CONNECTING: 0, OPEN: 1, CLOSED: 2 };

export class TidecastSource extends EventTarget {
  #address;
  #options;
  #source = null;
  #types = new Set(["message", "stream-open", "stream-reset", "reconnecting"]);
  #attempts = 0;
  #timer;
  #closed = false;
  onopen = null;
  onmessage = null;
  onerror = null;
  lastEventId = "";

  constructor(url, options = {}) {
    super();
    this.#address = new URL(url, globalThis.document?.baseURI);
    this.#options = options;
    // A browser shows a page no id without an event, so an event `stream-open` brings the first position.
    this.#address.searchParams.set("open", "1");
    for (const type of ["open", "message", "error"]) {
      super.addEventListener(type, (event) => this[`on${type}`]?.(event));
    }
    this.#open();
    // A page that was left may be kept for the way back. Meanwhile it needs no stream. Other programs have no such events.
    globalThis.addEventListener?.("pagehide", this.#leave);
    globalThis.addEventListener?.("pageshow", this.#comeBack);
  }

  get url() {
    return this.#address.href;
  }

  get withCredentials() {
    return this.#options.withCredentials ?? false;
  }

  get readyState() {
    if (this.#closed) return TidecastSource.CLOSED;
    return this.#source.readyState === TidecastSource.OPEN ? TidecastSource.OPEN : TidecastSource.CONNECTING;
  }

  addEventListener(type, listener, options) {
    super.addEventListener(type, listener, options);
    if (type === "open" || type === "error" || this.#types.has(type)) return;
    this.#types.add(type);
    this.#source.addEventListener(type, this.#dispatch);
  }

  close() {
    this.#closed = true;
    globalThis.removeEventListener?.("pagehide", this.#leave);
    globalThis.removeEventListener?.("pageshow", this.#comeBack);
    this.#leave();
  }

  #leave = () => {
    clearTimeout(this.#timer);
    this.#source.close();
  };

  #comeBack = (event) => {
    if (event.persisted) this.#open();
  };

  #open() {
    if (this.lastEventId) this.#address.searchParams.set("last_event_id", this.lastEventId);
    const source = (this.#source = new EventSource(this.#address, this.#options));
    source.onopen = (event) => {
      if (event instanceof MessageEvent) return this.#dispatch(event);
      this.#attempts = 0;
      this.dispatchEvent(new Event("open"));
    };
    source.onerror = (event) => {
      if (event instanceof MessageEvent) return this.#dispatch(event);
      this.dispatchEvent(new Event("error"));
      if (source.readyState === TidecastSource.CLOSED && !this.#closed) this.#openLater();
    };
    for (const type of this.#types) source.addEventListener(type, this.#dispatch);
  }

  #openLater() {
    const delayMs = Math.min(FIRST_DELAY_MS * 2 ** this.#attempts++, DELAY_MS_MAX) * (0.5 + Math.random() / 2);
    this.#timer = setTimeout(() => this.#open(), delayMs);
    this.dispatchEvent(new CustomEvent("reconnecting", { detail: { delayMs } }));
  }

  #dispatch = (event) => {
    const { type, data, origin, lastEventId } = event;
    this.lastEventId = lastEventId;
    this.dispatchEvent(new MessageEvent(type, { data, origin, lastEventId }));
  };
}

// An EventSource has its constants on the class and on its instances.
for (const [name, value] of Object.entries(STATES)) {
  for (const target of [TidecastSource, TidecastSource.prototype]) {
    Object.defineProperty(target, name, { value, enumerable: true });
  }
}
