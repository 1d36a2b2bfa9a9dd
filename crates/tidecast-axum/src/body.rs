//! A subscription or a feed as the body of a response.
//!
//! It begins with the first block, goes on with whatever is ready, says something when nothing was to be said for a
//! while, and ends with when to come back once its source has ended. It holds no event: a client that does not read costs
//! a cursor or what its feed may keep, and what hyper has buffered for it.

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
    options::{StreamOptions, random_between},
    source::Source,
};

#[derive(Debug)]
pub(crate) struct SseBody {
    source: Source,
    options: StreamOptions,
    first: Option<FirstBlock>,
    batch: Batch,
    sent_at: Instant,
    /// Made when there is first something to wait for.
    timer: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

impl SseBody {
    pub(crate) fn new(source: Source, options: StreamOptions, open_event: bool) -> Self {
        Self {
            first: Some(FirstBlock { retry: options.retry, open_event }),
            source,
            options,
            batch: Batch::new(),
            sent_at: Instant::now(),
            timer: None,
            ended: false,
        }
    }

    fn send(&mut self, bytes: Bytes) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.sent_at = Instant::now();
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    /// Waits until nothing was sent for the time of a keep-alive. The timer is not moved at each event: when it rings it
    /// is set again for what is left.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // A time past all that can be told is never, as zero is.
        let due = self.sent_at.checked_add(self.options.keep_alive);
        let Some(due) = due.filter(|_| !self.options.keep_alive.is_zero()) else { return Poll::Pending };
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
        if let Some(first) = this.first.take() {
            let block = this.source.first_block(first);
            return this.send(block);
        }
        if this.ended {
            return Poll::Ready(None);
        }
        match this.source.poll_batch(context, &mut this.batch, READ_BYTES_DEFAULT) {
            Poll::Ready(true) => {
                let bytes = this.batch.take_bytes();
                this.send(bytes)
            }
            Poll::Ready(false) => {
                this.ended = true;
                this.send(final_block(random_between(&this.options.end_retry)))
            }
            Poll::Pending => {
                // Many streams wait for long: none keeps the memory of its last backlog.
                this.batch.release();
                match this.poll_silence(context) {
                    Poll::Ready(()) => this.send(KEEP_ALIVE),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}
