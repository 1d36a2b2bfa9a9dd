//! How streams are served, and how they are ended.

use std::{future::IntoFuture, io, ops::RangeInclusive, time::Duration};

use tidecast::{Hub, wire::FirstBlock};
use tokio::time::sleep;

/// How streams are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamOptions {
    /// After how long without anything sent a comment is. Default 8 s, so that clients which
    /// take 10 s of silence for a lost connection keep theirs; zero is never.
    pub keep_alive: Duration,
    /// How long a browser is to wait before it connects again. Default 3 s; zero is at once.
    pub retry: Duration,
    /// The same at the end of a hub, drawn for each stream from this range, so that not all come back in one moment.
    /// Default 1 to 5 s.
    pub end_retry: RangeInclusive<Duration>,
    /// How long a stream lasts at most, whatever happens on it: it ends by itself after 80 to 100 % of it, drawn for each,
    /// and its client comes back where it left off; on a publisher's feed it begins anew. Default zero, which is for ever.
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
    /// How long one stream is to last; `None` is for ever.
    pub(crate) fn draw_lifetime(&self) -> Option<Duration> {
        let lifetime = self.lifetime;
        (!lifetime.is_zero()).then(|| random_between(&(lifetime / 5 * 4..=lifetime)))
    }
}

/// How long a client is told to wait before it comes back to a server that is full: drawn from this range by
/// [`random_between`], so that many clients don't come back in one moment.
pub const FULL_RETRY: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(30);

/// Draws a time from a range, so that many clients don't come back in one moment.
#[must_use]
pub fn random_between(range: &RangeInclusive<Duration>) -> Duration {
    let millis = |time: &Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let (from, to) = (millis(range.start()), millis(range.end()));
    Duration::from_millis(fastrand::u64(from..=to.max(from)))
}

/// Waits for a signal, then closes the hub: for `axum::serve(…).with_graceful_shutdown(…)`, which waits for open streams,
/// which by themselves never end.
///
/// # Cancel safety
///
/// Dropped before the signal, it closes nothing.
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
/// A client that reads nothing keeps the server waiting: [`end_with`] bounds that.
pub async fn close_on(hub: Hub, signal: impl Future) {
    signal.await;
    hub.close();
}

/// How often it is looked whether a hub is closed.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Runs a server to its end, or until so long after its hub was closed.
///
/// Graceful shutdown waits for every connection. A stream ends by itself once its hub is closed, but its last block does not
/// leave while its client reads nothing: an HTTP server asks a body for more only when the socket has taken what came
/// before, so no body can end such a connection. What is still open then ends with the runtime.
///
/// # Errors
///
/// Those of the server.
///
/// # Cancel safety
///
/// Dropped, it drops the server.
///
/// # Examples
///
/// ```no_run
/// # async fn run(listener: tokio::net::TcpListener, app: axum::Router, hub: tidecast::Hub) -> std::io::Result<()> {
/// use std::time::Duration;
/// use tidecast_axum::{close_on, end_with};
///
/// let server =
///     axum::serve(listener, app).with_graceful_shutdown(close_on(hub.clone(), tokio::signal::ctrl_c()));
/// end_with(&hub, Duration::from_secs(5), server).await
/// # }
/// ```
pub async fn end_with(
    hub: &Hub,
    patience: Duration,
    server: impl IntoFuture<Output = io::Result<()>>,
) -> io::Result<()> {
    let overdue = async {
        while !hub.is_closed() {
            sleep(LOOK_EVERY).await;
        }
        sleep(patience).await;
    };
    tokio::select! {
        ended = server.into_future() => ended,
        () = overdue => Ok(()),
    }
}
