//! How streams are served, and how a server with streams shuts down.

use std::{future::IntoFuture, io, ops::RangeInclusive, time::Duration};

use tidecast::{Hub, wire::FirstBlock};
use tokio::time::sleep;

/// Options of streams.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tidecast_axum::StreamOptions;
///
/// let options = StreamOptions::default().keep_alive(Duration::from_secs(15)).lifetime(Duration::from_secs(3600));
/// assert_eq!(options.retry, Duration::from_secs(3));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamOptions {
    /// The time of silence after which a stream sends a comment. Default 8 s, so that clients which take 10 s of silence
    /// for a lost connection keep theirs. Zero is never.
    pub keep_alive: Duration,
    /// The time that a browser waits before it reconnects. Default 3 s. Zero is at once.
    pub retry: Duration,
    /// The same when the hub closes, drawn for each stream from this range, so that clients do not all return at the same
    /// moment. Default 1 to 5 s.
    pub end_retry: RangeInclusive<Duration>,
    /// The longest that a stream lasts. It ends after 80 to 100 % of this time, drawn for each stream, and its client
    /// resumes where it left off; the feed of a publisher begins anew. Default zero, which is for ever.
    pub lifetime: Duration,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            keep_alive: Duration::from_secs(8),
            retry: FirstBlock::default().retry,
            end_retry: Duration::from_secs(1)..=Duration::from_secs(5),
            lifetime: Duration::ZERO,
        }
    }
}

impl StreamOptions {
    /// Sets [`keep_alive`](Self#structfield.keep_alive).
    #[must_use]
    pub fn keep_alive(self, keep_alive: Duration) -> Self {
        Self { keep_alive, ..self }
    }

    /// Sets [`retry`](Self#structfield.retry).
    #[must_use]
    pub fn retry(self, retry: Duration) -> Self {
        Self { retry, ..self }
    }

    /// Sets [`end_retry`](Self#structfield.end_retry).
    #[must_use]
    pub fn end_retry(self, end_retry: RangeInclusive<Duration>) -> Self {
        Self { end_retry, ..self }
    }

    /// Sets [`lifetime`](Self#structfield.lifetime).
    #[must_use]
    pub fn lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime, ..self }
    }
}

/// The reconnection times of clients of a full server: 5 to 30 s.
pub const FULL_RETRY: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(30);

/// Draws a time from a range, so that many clients do not return at the same moment. Of a reversed range it returns the
/// start.
#[must_use]
pub fn jitter(range: &RangeInclusive<Duration>) -> Duration {
    let millis = |time: &Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let (from, to) = (millis(range.start()), millis(range.end()));
    Duration::from_millis(fastrand::u64(from..=to.max(from)))
}

/// Waits for a signal, then closes the hub.
///
/// It is for `axum::serve(…).with_graceful_shutdown(…)`, which waits for open streams. These end only when the hub closes.
///
/// # Cancel safety
///
/// If it is dropped before the signal, the hub stays open.
///
/// # Examples
///
/// ```no_run
/// # async fn run(listener: tokio::net::TcpListener, app: axum::Router, hub: tidecast::Hub) -> std::io::Result<()> {
/// use tidecast_axum::close_on;
///
/// axum::serve(listener, app).with_graceful_shutdown(close_on(hub, tokio::signal::ctrl_c())).await
/// # }
/// ```
///
/// A client that reads nothing delays the end of the server. [`with_shutdown_timeout`] bounds that.
pub async fn close_on(hub: Hub, signal: impl Future) {
    signal.await;
    hub.close();
}

/// The interval at which [`with_shutdown_timeout`] checks whether its hub is closed.
const CLOSED_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Runs a server until it ends, or until `timeout` has passed since its hub was closed.
///
/// Graceful shutdown waits for every connection. A stream ends when its hub is closed, but its last block is not sent
/// while its client reads nothing: an HTTP server polls a body only once the socket has taken the bytes before. So no body
/// can end such a connection. Connections that are open after the timeout end with the runtime.
///
/// # Errors
///
/// Those of the server.
///
/// # Cancel safety
///
/// If it is dropped, so is the server.
///
/// # Examples
///
/// ```no_run
/// # async fn run(listener: tokio::net::TcpListener, app: axum::Router, hub: tidecast::Hub) -> std::io::Result<()> {
/// use std::time::Duration;
/// use tidecast_axum::{close_on, with_shutdown_timeout};
///
/// let server =
///     axum::serve(listener, app).with_graceful_shutdown(close_on(hub.clone(), tokio::signal::ctrl_c()));
/// with_shutdown_timeout(&hub, Duration::from_secs(5), server).await
/// # }
/// ```
pub async fn with_shutdown_timeout(
    hub: &Hub,
    timeout: Duration,
    server: impl IntoFuture<Output = io::Result<()>>,
) -> io::Result<()> {
    let overdue = async {
        while !hub.is_closed() {
            sleep(CLOSED_CHECK_INTERVAL).await;
        }
        sleep(timeout).await;
    };
    tokio::select! {
        ended = server.into_future() => ended,
        () = overdue => Ok(()),
    }
}
