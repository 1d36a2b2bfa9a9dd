//! Hands a stream from its response to the server, which then writes to the socket itself.
//!
//! A stream waits for most of its life, and meanwhile costs the memory that the HTTP server keeps for a connection. Once
//! the head and the first block are written, only a subscription is left, which a server that owns the socket can serve
//! with far less. Until it is taken the stream stays in the response's body, so one that is never taken is served all the
//! same.

use std::{
    any::Any,
    fmt,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
};

use parking_lot::Mutex;
use tidecast::Subscription;
use tokio::time::Instant;

use crate::{
    StreamOptions,
    deadline::Deadline,
    stream::{NextChunk, Source, Stream},
};

/// A cell that shares a stream between the body of its response and a server that may take it.
///
/// It is for servers that drive an HTTP connection themselves and can take its socket back. Such a server puts a new cell
/// into the extensions of a request. [`Streams`](crate::Streams) passes it to its response, other handlers pass it by
/// [`Sse::handoff`](crate::Sse::handoff). A publisher's feed always stays in its body.
///
/// 1. While the body has nothing to send there is an [idle epoch](Self::idle_epoch): the HTTP server has all its bytes.
/// 2. The server checks that these bytes are written and that the idle epoch is still the same.
/// 3. It [takes](Self::take) the stream and drops the body of the response, which sends nothing more.
///
/// Layers around the body are dropped with it, so a value that has to live as long as the stream is
/// [attached](Self::attach) here. A layer that changes the body's bytes no longer applies: do not take a response that has
/// one.
///
/// # Examples
///
/// ```
/// use axum::{body::Body, http::Request};
/// use http_body_util::BodyExt;
/// use tidecast::{Event, Hub};
/// use tidecast_axum::{internals::StreamHandoff, router};
/// use tower::ServiceExt;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let handoff = StreamHandoff::new();
/// let mut request = Request::get("/").body(Body::empty())?;
/// request.extensions_mut().insert(handoff.clone());
/// let mut body = router(Hub::new()).oneshot(request).await?.into_body();
///
/// body.frame().await;
/// assert!(handoff.idle_epoch().is_none(), "there may be more");
/// let waiting = tokio::time::timeout(std::time::Duration::from_millis(1), body.frame());
/// assert!(waiting.await.is_err());
/// assert!(handoff.idle_epoch().is_some());
/// let taken = handoff.take().expect("a stream");
/// assert_eq!(taken.subscription.channels().count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Default)]
pub struct StreamHandoff(Arc<Cell>);

#[derive(Default)]
struct Cell {
    /// The idle epoch; 0 while the body is not idle. Outside of the lock, because a server reads it after each write.
    idle_epoch: AtomicU32,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    stream: Option<Stream>,
    last_epoch: u32,
    attached: Option<Box<dyn Any + Send>>,
}

/// A stream that was taken from its body.
#[derive(Debug)]
#[non_exhaustive]
pub struct TakenStream {
    /// The subscription. It has begun, and all that was read of it is written.
    pub subscription: Subscription,
    /// The options of the stream.
    pub options: StreamOptions,
    /// The time of the last write.
    pub sent_at: Instant,
    /// When the stream ends whatever happens; `None` is never.
    pub deadline: Option<Deadline>,
    /// The values [attached](StreamHandoff::attach) to the stream, to be dropped with it.
    pub attached: Option<Box<dyn Any + Send>>,
}

impl StreamHandoff {
    /// Creates a cell without a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns whether the stream of a response's body is here.
    #[must_use]
    pub fn has_stream(&self) -> bool {
        self.0.inner.lock().stream.is_some()
    }

    /// Returns when the stream ends whatever happens; `None` is never, or that no stream is here.
    #[must_use]
    pub fn deadline(&self) -> Option<Deadline> {
        self.0.inner.lock().stream.as_ref().and_then(|stream| stream.deadline)
    }

    /// Returns the number of the present time in which the body has nothing to send; `None` while it may have something.
    ///
    /// The number differs once the body has sent something in between.
    #[must_use]
    pub fn idle_epoch(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.0.idle_epoch.load(Ordering::Acquire))
    }

    /// Attaches a value to the stream: it is dropped with the body, or with the [`TakenStream`].
    ///
    /// Without a stream it is dropped at once.
    pub fn attach(&self, value: impl Any + Send) {
        let mut inner = self.0.inner.lock();
        if inner.stream.is_some() {
            inner.attached = Some(match inner.attached.take() {
                Some(earlier) => Box::new((earlier, value)),
                None => Box::new(value),
            });
        }
    }

    /// Takes the stream if its body is idle. The body then sends nothing more, and does not end.
    #[must_use]
    pub fn take(&self) -> Option<TakenStream> {
        let mut inner = self.0.inner.lock();
        self.idle_epoch()?;
        self.0.idle_epoch.store(0, Ordering::Release);
        match inner.stream.take()? {
            Stream { source: Source::Subscription(subscription), options, sent_at, deadline, .. } => {
                Some(TakenStream { subscription, options, sent_at, deadline, attached: inner.attached.take() })
            }
            feed => {
                inner.stream = Some(feed);
                None
            }
        }
    }

    /// Puts the stream of a body here. Returns it if there is another already.
    pub(crate) fn put(&self, stream: Stream) -> Option<Stream> {
        let mut inner = self.0.inner.lock();
        if inner.stream.is_some() {
            return Some(stream);
        }
        inner.stream.replace(stream)
    }

    /// Polls the stream, and begins or ends an idle epoch by the outcome. Returns `None` once the stream was taken.
    pub(crate) fn poll_stream(&self, context: &mut Context<'_>) -> Option<Poll<NextChunk>> {
        let mut inner = self.0.inner.lock();
        let stream = inner.stream.as_mut()?;
        let next = stream.poll(context);
        if !(next.is_pending() && stream.source.can_leave_body()) {
            self.0.idle_epoch.store(0, Ordering::Release);
        } else if self.0.idle_epoch.load(Ordering::Relaxed) == 0 {
            inner.last_epoch = inner.last_epoch.checked_add(1).unwrap_or(1);
            self.0.idle_epoch.store(inner.last_epoch, Ordering::Release);
        }
        Some(next)
    }

    /// Drops the stream, if it was not taken.
    pub(crate) fn clear(&self) {
        let mut inner = self.0.inner.lock();
        self.0.idle_epoch.store(0, Ordering::Release);
        let dropped = (inner.stream.take(), inner.attached.take());
        // Dropping them takes other locks.
        drop(inner);
        drop(dropped);
    }
}

impl fmt::Debug for StreamHandoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamHandoff").field("idle_epoch", &self.idle_epoch()).finish_non_exhaustive()
    }
}
