//! How a server takes a stream out of its response, to write to the socket itself.
//!
//! A stream waits for most of its life, and costs meanwhile what the HTTP server keeps for a connection. Once the head and
//! the first block are written all that is left of it is a subscription, for which a server that has the socket needs far
//! less. The body stays in the response until then, so whoever is never taken is served all the same.

use std::{
    any::Any,
    fmt,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use parking_lot::Mutex;
use tidecast::Subscription;
use tokio::time::Instant;

use crate::{StreamOptions, body::Stream, source::Source};

/// A cell that shares a stream between its response's body and a server that may take it.
///
/// For servers that drive an HTTP connection themselves and can take its socket back; inside `axum::serve` it is of no
/// use. Such a server puts a new one into the extensions of a request. [`Streams`](crate::Streams) hand it to their
/// response by themselves, other handlers by [`Sse::handover`](crate::Sse::handover). A publisher's feed never comes here.
///
/// 1. While the body is [armed](Self::armed) it has nothing to say: all that it said is with the HTTP server.
/// 2. The server sees to it that all of that was written, and that the body is armed still, by the same number.
/// 3. It [takes](Self::take) the stream and drops the response's body, which says nothing more.
///
/// What layers put around the body is dropped with it, so what is to live as long as the stream is [kept](Self::keep)
/// here. A layer that changes what the body says is left out from then on: a response that has one is not to be taken.
///
/// # Examples
///
/// ```
/// use axum::{body::Body, http::Request};
/// use http_body_util::BodyExt;
/// use tidecast::{Event, Hub};
/// use tidecast_axum::{Handover, router};
/// use tower::ServiceExt;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let handover = Handover::new();
/// let mut request = Request::get("/").body(Body::empty())?;
/// request.extensions_mut().insert(handover.clone());
/// let mut body = router(Hub::new()).oneshot(request).await?.into_body();
///
/// body.frame().await;
/// assert!(handover.armed().is_none(), "there may be more");
/// let waiting = tokio::time::timeout(std::time::Duration::from_millis(1), body.frame());
/// assert!(waiting.await.is_err());
/// assert!(handover.armed().is_some());
/// let taken = handover.take().expect("a stream");
/// assert_eq!(taken.subscription.channels().count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Default)]
pub struct Handover(Arc<Cell>);

#[derive(Default)]
struct Cell {
    /// Which arming it is; 0 is none. Beside the lock, as a server looks at it each time that it has written something.
    armed: AtomicU32,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    stream: Option<Stream>,
    armings: u32,
    kept: Option<Box<dyn Any + Send>>,
}

/// A stream that was taken from its body.
#[derive(Debug)]
#[non_exhaustive]
pub struct TakenStream {
    /// What it is of: begun, and everything that was read of it written.
    pub subscription: Subscription,
    /// How it is to be served.
    pub options: StreamOptions,
    /// When something was last sent.
    pub sent_at: Instant,
    /// When it is to end, where its lifetime has a bound.
    pub ends_at: Option<Instant>,
    /// What was [kept](Handover::keep) for it, to be dropped with the stream.
    pub kept: Option<Box<dyn Any + Send>>,
}

impl Handover {
    /// A cell without a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a response's body has its stream here.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        self.0.inner.lock().stream.is_some()
    }

    /// Which time it is that the body has nothing to say; `None` while it may have.
    ///
    /// The number is another one once the body has said something.
    #[must_use]
    pub fn armed(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.0.armed.load(Ordering::Acquire))
    }

    /// Keeps something for as long as the stream lives: until its body is dropped, or whoever took it drops it.
    ///
    /// Dropped at once where no body has its stream here.
    pub fn keep(&self, kept: impl Any + Send) {
        let mut inner = self.0.inner.lock();
        if inner.stream.is_some() {
            inner.kept = Some(match inner.kept.take() {
                Some(before) => Box::new((before, kept)),
                None => Box::new(kept),
            });
        }
    }

    /// Takes the stream while it is armed. The body says nothing more, and does not end.
    #[must_use]
    pub fn take(&self) -> Option<TakenStream> {
        let mut inner = self.0.inner.lock();
        self.armed()?;
        self.0.armed.store(0, Ordering::Release);
        match inner.stream.take()? {
            Stream { source: Source::Subscription(subscription), options, sent_at, ends_at, .. } => {
                Some(TakenStream { subscription, options, sent_at, ends_at, kept: inner.kept.take() })
            }
            feed => {
                inner.stream = Some(feed);
                None
            }
        }
    }

    /// Puts a body's stream here. Gives it back where there is one already.
    pub(crate) fn fill(&self, stream: Stream) -> Option<Stream> {
        let mut inner = self.0.inner.lock();
        if inner.stream.is_some() {
            return Some(stream);
        }
        inner.stream.replace(stream)
    }

    /// Does something with the stream, unless it was taken. What `act` tells is whether it may be taken now.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Stream) -> (T, bool)) -> Option<T> {
        let mut inner = self.0.inner.lock();
        let (answer, arms) = act(inner.stream.as_mut()?);
        if !arms {
            self.0.armed.store(0, Ordering::Release);
        } else if self.0.armed.load(Ordering::Relaxed) == 0 {
            // Never 0, which is none.
            inner.armings = inner.armings.checked_add(1).unwrap_or(1);
            self.0.armed.store(inner.armings, Ordering::Release);
        }
        Some(answer)
    }

    /// Drops the stream with its body.
    pub(crate) fn clear(&self) {
        let mut inner = self.0.inner.lock();
        self.0.armed.store(0, Ordering::Release);
        let left = (inner.stream.take(), inner.kept.take());
        // What leaves has locks of its own to take.
        drop(inner);
        drop(left);
    }
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover").field("armed", &self.armed()).finish_non_exhaustive()
    }
}
