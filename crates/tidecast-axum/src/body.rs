//! The body of a response: its stream, which it shares with a server that may take it.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::Frame;

use crate::{
    handoff::StreamHandoff,
    stream::{NextChunk, Stream},
};

/// The body of a stream. The stream itself is in the hand-off, where a server may take it.
#[derive(Debug)]
pub(crate) struct SseBody {
    handoff: StreamHandoff,
    ended: bool,
}

impl SseBody {
    pub(crate) fn new(stream: Stream, handoff: Option<StreamHandoff>) -> Self {
        // Without a server that may take the stream, the body has a cell of its own.
        let mut handoff = handoff.filter(|_| stream.source.can_leave_body()).unwrap_or_default();
        if let Some(stream) = handoff.put(stream) {
            // The cell is for one response: a second one to the same request cannot be taken.
            handoff = StreamHandoff::new();
            let _ = handoff.put(stream);
        }
        Self { handoff, ended: false }
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
        // A stream that was taken goes on elsewhere, so the body must not end.
        let Some(Poll::Ready(next)) = this.handoff.poll_stream(context) else { return Poll::Pending };
        let bytes = match next {
            NextChunk::More(bytes) => bytes,
            NextChunk::Last(bytes) => {
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
        self.handoff.clear();
    }
}
