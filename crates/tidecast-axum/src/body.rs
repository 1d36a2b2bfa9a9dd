//! A subscription or a feed as the body of a response.
//!
//! It begins with the first block, goes on with whatever is ready, says something when nothing was to be said for a
//! while, and ends with when to come back once its source has ended or its lifetime is over. It holds no event: a client
//! that does not read costs a cursor or what its feed may keep, and what hyper has buffered for it.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::Frame;
use tidecast::{
    Batch,
    limits::READ_BYTES_DEFAULT,
    wire::{FirstBlock, KEEP_ALIVE, final_block},
};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    Handover,
    options::{StreamOptions, random_between},
    source::Source,
};

/// A stream's body. The stream lies where a server may take it from.
#[derive(Debug)]
pub(crate) struct SseBody {
    handover: Handover,
    ended: bool,
}

/// What a stream is.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) source: Source,
    pub(crate) options: StreamOptions,
    pub(crate) sent_at: Instant,
    /// When it ends by itself; `None` is never.
    pub(crate) ends_at: Option<Instant>,
    first: Option<FirstBlock>,
    batch: Batch,
    /// Made when there is first something to wait for.
    timer: Option<Pin<Box<Sleep>>>,
}

/// What a stream says next.
enum Said {
    More(Bytes),
    Last(Bytes),
}

impl SseBody {
    pub(crate) fn new(source: Source, options: StreamOptions, first: FirstBlock, handover: Option<Handover>) -> Self {
        let now = Instant::now();
        // A cell of its own is one that no server looks at.
        let mut handover = handover.filter(|_| source.may_leave()).unwrap_or_default();
        let stream = Stream {
            first: Some(FirstBlock { retry: options.retry, ..first }),
            source,
            ends_at: options.draw_lifetime().and_then(|lifetime| now.checked_add(lifetime)),
            options,
            batch: Batch::new(),
            sent_at: now,
            timer: None,
        };
        if let Some(stream) = handover.fill(stream) {
            // One response to a request: a second has to do without its server.
            handover = Handover::new();
            let _ = handover.fill(stream);
        }
        Self { handover, ended: false }
    }
}

impl Stream {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Said> {
        if let Some(first) = self.first.take() {
            let block = self.source.first_block(first);
            return self.say(block);
        }
        if self.ends_at.is_some_and(|ends_at| Instant::now() >= ends_at) {
            // Each ends at a time of its own, so they need not be kept from coming back together.
            return Poll::Ready(Said::Last(final_block(self.options.retry)));
        }
        match self.source.poll_batch(context, &mut self.batch, READ_BYTES_DEFAULT) {
            Poll::Ready(true) => {
                let bytes = self.batch.take_bytes();
                self.say(bytes)
            }
            Poll::Ready(false) => Poll::Ready(Said::Last(final_block(random_between(&self.options.end_retry)))),
            Poll::Pending => {
                // Many streams wait for long: none keeps the memory of its last backlog.
                self.batch.release();
                match self.poll_silence(context) {
                    Poll::Ready(()) if self.ends_at.is_some_and(|ends_at| Instant::now() >= ends_at) => {
                        Poll::Ready(Said::Last(final_block(self.options.retry)))
                    }
                    Poll::Ready(()) => self.say(KEEP_ALIVE),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }

    fn say(&mut self, bytes: Bytes) -> Poll<Said> {
        self.sent_at = Instant::now();
        Poll::Ready(Said::More(bytes))
    }

    /// Waits until nothing was sent for the time of a keep-alive, or the stream's lifetime is over. The timer is not moved
    /// at each event: when it rings it is set again for what is left.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // A time past all that can be told is never, as zero is.
        let due = self.sent_at.checked_add(self.options.keep_alive);
        let due = due.filter(|_| !self.options.keep_alive.is_zero());
        let Some(due) = due.into_iter().chain(self.ends_at).min() else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        while timer.as_mut().poll(context).is_ready() {
            if Instant::now() >= due {
                // Set anew when it is next asked, as what is sent now is the last word.
                self.timer = None;
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
        Poll::Pending
    }
}

impl http_body::Body for SseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let said = this.handover.with(|stream| {
            let said = stream.poll(context);
            let arms = said.is_pending() && stream.source.may_leave();
            (said, arms)
        });
        // Whoever took the stream goes on with it: here is no end.
        let Some(Poll::Ready(said)) = said else { return Poll::Pending };
        let bytes = match said {
            Said::More(bytes) => bytes,
            Said::Last(bytes) => {
                this.ended = true;
                bytes
            }
        };
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

impl Drop for SseBody {
    fn drop(&mut self) {
        self.handover.clear();
    }
}
