/**
 * What a {@link TidecastSource} dispatches of its own accord. An event that was published with one of the first three types
 * is a `MessageEvent`.
 */
export interface TidecastSourceEventMap {
  open: Event;
  error: Event;
  /** Before each attempt that the browser would not have made by itself. */
  reconnecting: CustomEvent<{ delayMs: number }> | MessageEvent<string>;
  message: MessageEvent<string>;
  /** How the stream began; `data` is `{"position": "…"}`. */
  "stream-open": MessageEvent<string>;
  /** Something was missed; `data` is a {@link StreamReset} as JSON. Fetch the state anew. */
  "stream-reset": MessageEvent<string>;
}

/** The data of a `stream-reset`. */
export interface StreamReset {
  channel: string;
  reason: "expired" | "restarted" | "unknown-id" | "too-slow" | "ambiguous-id";
  /** The position after which the channel goes on. */
  resumed_at: string;
}

type Listener<E extends Event> = ((event: E) => void) | { handleEvent(event: E): void };

/** An `EventSource` that opens itself again, where it stood, when the browser's own has closed for good. */
export declare class TidecastSource extends EventTarget {
  static readonly CONNECTING: 0;
  static readonly OPEN: 1;
  static readonly CLOSED: 2;
  readonly CONNECTING: 0;
  readonly OPEN: 1;
  readonly CLOSED: 2;

  /**
   * @param url the stream's address, with its channels; relative to the document
   * @param options as of an `EventSource`
   */
  constructor(url: string | URL, options?: EventSourceInit);

  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent<string>) => void) | null;
  onerror: ((event: Event) => void) | null;

  /** The id of the last event that came, or where the stream began; empty before. */
  readonly lastEventId: string;
  /** 0 while it connects or waits to, 1 while it is open, 2 once it was closed by `close()`, and only then. */
  readonly readyState: 0 | 1 | 2;
  readonly url: string;
  readonly withCredentials: boolean;

  addEventListener<K extends keyof TidecastSourceEventMap>(
    type: K,
    listener: Listener<TidecastSourceEventMap[K]>,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: Listener<MessageEvent<string>> | null,
    options?: boolean | AddEventListenerOptions,
  ): void;

  /** Ends it for good. */
  close(): void;
}
