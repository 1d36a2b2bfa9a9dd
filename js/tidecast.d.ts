/**
 * The events of a {@link TidecastSource}. One that was published with the type `open`, `error` or `reconnecting` is a
 * `MessageEvent`.
 */
export interface TidecastSourceEventMap {
  open: Event;
  error: Event;
  /** Precedes each attempt that the browser would not make. */
  reconnecting: CustomEvent<{ delayMs: number }> | MessageEvent<string>;
  message: MessageEvent<string>;
  /** The beginning of the stream; `data` is `{"position": "…"}`. */
  "stream-open": MessageEvent<string>;
  /** Events were missed; `data` is a {@link StreamReset} as JSON. Fetch the state again. */
  "stream-reset": MessageEvent<string>;
}

/** The data of a `stream-reset`. */
export interface StreamReset {
  channel: string;
  reason: "expired" | "restarted" | "unknown-id" | "too-slow" | "ambiguous-id";
  /** The position after which the channel resumes. */
  resumed_at: string;
}

type Listener<E extends Event> = ((event: E) => void) | { handleEvent(event: E): void };

/** An `EventSource` that reopens after the last event when the browser's own has closed for good. */
export declare class TidecastSource extends EventTarget {
  static readonly CONNECTING: 0;
  static readonly OPEN: 1;
  static readonly CLOSED: 2;
  readonly CONNECTING: 0;
  readonly OPEN: 1;
  readonly CLOSED: 2;

  /**
   * @param url the stream's address with its channels, relative to the document
   * @param options the options of an `EventSource`
   */
  constructor(url: string | URL, options?: EventSourceInit);

  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent<string>) => void) | null;
  onerror: ((event: Event) => void) | null;

  /** The id of the last event, or of the stream's beginning; empty before. */
  readonly lastEventId: string;
  /** 0 while it connects or waits to reconnect, 1 while it is open, 2 after `close()`. */
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

  /** Closes it for good. */
  close(): void;
}
