//! A stream while it is served as the body of a response: a subscription or a feed, with its times.
//!
//! It begins with the first block and goes on with whatever is ready. It sends a comment after a time of silence, and ends
//! with a reconnection time when its source has ended or its deadline has passed. It stores no event: a client that does
//! not read costs a cursor or the bound of its feed, and the bytes that hyper has buffered.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tidecast::{
    Batch, Feed, Subscription,
    limits::READ_BYTES_DEFAULT,
    wire::{FirstBlock, KEEP_ALIVE},
};
use tokio::time::Instant;

use crate::{
    deadline::{Deadline, EndCause},
    lazy_timer::LazyTimer,
    options::StreamOptions,
};

/// A stream that is served.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) source: Source,
    pub(crate) options: StreamOptions,
    pub(crate) sent_at: Instant,
    /// When it ends whatever happens; `None` is never.
    pub(crate) deadline: Option<Deadline>,
    first: Option<FirstBlock>,
    batch: Batch,
    timer: LazyTimer,
}

/// The source of a stream's events.
#[derive(Debug)]
pub(crate) enum Source {
    Subscription(Subscription),
    Feed(Feed),
}

/// The next bytes of a stream.
pub(crate) enum NextChunk {
    More(Bytes),
    Last(Bytes),
}

impl Stream {
    pub(crate) fn new(source: Source, options: StreamOptions, mut first: FirstBlock) -> Self {
        first.retry = options.retry;
        Self {
            source,
            first: Some(first),
            deadline: Deadline::draw(&options),
            options,
            batch: Batch::new(),
            sent_at: Instant::now(),
            timer: LazyTimer::default(),
        }
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<NextChunk> {
        if let Some(first) = self.first.take() {
            let block = self.source.first_block(first);
            return self.send(block);
        }
        if let Some(cause) = self.end_cause() {
            return self.end(cause);
        }
        match self.source.poll_batch(context, &mut self.batch, READ_BYTES_DEFAULT) {
            Poll::Ready(Some(())) => {
                let bytes = self.batch.take_bytes();
                self.send(bytes)
            }
            Poll::Ready(None) => self.end(EndCause::SourceEnded),
            Poll::Pending => {
                // Most streams wait for long, and should not keep the memory of their last backlog.
                self.batch.release();
                ready!(self.timer.poll(context, self.next_action_at()));
                match self.end_cause() {
                    Some(cause) => self.end(cause),
                    None => self.send(KEEP_ALIVE),
                }
            }
        }
    }

    fn send(&mut self, bytes: Bytes) -> Poll<NextChunk> {
        self.sent_at = Instant::now();
        Poll::Ready(NextChunk::More(bytes))
    }

    fn end(&self, cause: EndCause) -> Poll<NextChunk> {
        Poll::Ready(NextChunk::Last(cause.last_block(&self.options)))
    }

    /// Returns the cause of the deadline, if that has passed.
    fn end_cause(&self) -> Option<EndCause> {
        self.deadline.filter(Deadline::has_passed).map(|deadline| deadline.cause)
    }

    /// Returns the time of the next keep-alive or of the deadline, whichever is first; `None` is never.
    fn next_action_at(&self) -> Option<Instant> {
        let keep_alive = self.options.keep_alive;
        let keep_alive_at = self.sent_at.checked_add(keep_alive).filter(|_| !keep_alive.is_zero());
        keep_alive_at.into_iter().chain(self.deadline.map(|deadline| deadline.at)).min()
    }
}

impl Source {
    /// Returns whether a server may take the stream from its body. It has no means to serve a feed.
    pub(crate) fn can_leave_body(&self) -> bool {
        matches!(self, Self::Subscription(_))
    }

    fn first_block(&mut self, block: FirstBlock) -> Bytes {
        match self {
            Self::Subscription(subscription) => subscription.first_block(block),
            Self::Feed(feed) => feed.first_block(block),
        }
    }

    fn poll_batch(&mut self, context: &mut Context<'_>, batch: &mut Batch, bytes_max: usize) -> Poll<Option<()>> {
        match self {
            Self::Subscription(subscription) => subscription.poll_batch(context, batch, bytes_max),
            Self::Feed(feed) => feed.poll_batch(context, batch, bytes_max),
        }
    }
}
