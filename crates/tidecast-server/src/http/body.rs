//! The body of a request: read whole, or read out where the request was refused without it.
//!
//! Both are bounded, in bytes and in time. What is there already is taken without a timer, which most bodies are.
//!
//! Of bodies that come in more than one piece all together are bounded too, by [`BodyMemory`]: where there is no room a publish
//! is answered by 503 at once, and what was read of it is dropped. A body in one piece, as most are, needs no room of its
//! own: it lies in the buffer of its connection. So large bodies never keep small ones out.

use std::{
    future::poll_fn,
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::Poll,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use tidecast_axum::Problem;
use tokio::time::timeout;

use crate::limits::{BODY_BYTES_MAX, REFUSED_BODY_BYTES_MAX};

/// When to try again where there was no room for a body.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Room for the bodies that are being read, or were read and are being published.
#[derive(Debug)]
pub(crate) struct BodyMemory {
    taken: AtomicUsize,
    bytes_max: usize,
}

/// What a body takes of the room, given back when it is dropped.
#[derive(Debug)]
struct Reservation<'a> {
    bodies: &'a BodyMemory,
    bytes: usize,
}

/// A body, and the room that it takes.
#[derive(Debug)]
pub(crate) struct FullBody<'a> {
    pub(crate) bytes: Bytes,
    _room: Reservation<'a>,
}

impl BodyMemory {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { taken: AtomicUsize::new(0), bytes_max }
    }
}

impl Reservation<'_> {
    fn take_more(&mut self, bytes: usize) -> Result<(), Problem> {
        let take = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= self.bodies.bytes_max);
        if self.bodies.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
            let why =
                "the hub is reading as many large bodies as it has room for (`bodies_bytes`); nothing was published";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why).retry_after(RETRY_AFTER));
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.bodies.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Reads a body. One that came in one piece is not copied.
pub(crate) async fn read_full<'a, B>(
    body: &mut B,
    bodies: &'a BodyMemory,
    timeout_after: Duration,
) -> Result<FullBody<'a>, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let reading = async {
        let mut room = Reservation { bodies, bytes: 0 };
        let mut first = Bytes::new();
        let mut joined = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Problem::bad_request("the body ended too early"))?;
            let Ok(data) = frame.into_data() else { continue };
            if first.len().max(joined.len()) + data.len() > BODY_BYTES_MAX {
                let why = format!("the body is longer than {BODY_BYTES_MAX} bytes");
                return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, why));
            }
            if first.is_empty() {
                first = data;
            } else {
                if joined.is_empty() {
                    room.take_more(first.len())?;
                    joined.extend_from_slice(&first);
                }
                room.take_more(data.len())?;
                joined.extend_from_slice(&data);
            }
            if body.is_end_stream() {
                break;
            }
        }
        Ok(FullBody { bytes: if joined.is_empty() { first } else { joined.freeze() }, _room: room })
    };
    let too_slow = || Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body took too long to arrive"));
    within(timeout_after, reading).await.unwrap_or_else(too_slow)
}

/// Reads what is left of a body that nobody wants.
///
/// Whoever answers without that would have its connection reset under the client that still sends, and the client would
/// not get to see the answer. Who sends too slowly or too much does not see it; there is no more that can be done.
pub(crate) async fn drain<B>(body: &mut B, timeout_after: Duration)
where
    B: Body<Data = Bytes, Error: Into<axum::BoxError>> + Unpin,
{
    if body.is_end_stream() {
        return;
    }
    let mut bounded = Limited::new(body, REFUSED_BODY_BYTES_MAX);
    within(timeout_after, async { while let Some(Ok(_)) = bounded.frame().await {} }).await;
}

/// Waits for something for so long; `None` where that was not enough. A timer is made only for what is not there yet.
async fn within<T>(timeout_after: Duration, something: impl Future<Output = T>) -> Option<T> {
    let mut something = pin!(something);
    match poll_fn(|context| Poll::Ready(something.as_mut().poll(context))).await {
        Poll::Ready(done) => Some(done),
        Poll::Pending => timeout(timeout_after, something).await.ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, pin::Pin, task::Context};

    use futures_util::{Stream, stream};
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(600);

    fn pieces(count: usize) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Unpin {
        stream::iter((0..count).map(|_| Ok(Frame::data(Bytes::from(vec![b'x'; 100])))))
    }

    #[tokio::test]
    async fn bodies_in_pieces_share_their_room() {
        use futures_util::StreamExt;

        let bodies = BodyMemory::new(1_000);
        // One that never ends holds what has come of it.
        let mut endless = StreamBody::new(pieces(6).chain(stream::pending()));
        let mut reading = Box::pin(read_full(&mut endless, &bodies, TIMEOUT));
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut reading).poll(&mut context).is_pending());
        assert_eq!(bodies.taken.load(Ordering::Relaxed), 600);
        let refused = read_full(&mut StreamBody::new(pieces(5)), &bodies, TIMEOUT).await.unwrap_err();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        // What is refused holds nothing, what is whole as long as it is kept, and what is in one piece nothing at all.
        let whole = read_full(&mut StreamBody::new(pieces(4)), &bodies, TIMEOUT).await.unwrap();
        assert_eq!((whole.bytes.len(), bodies.taken.load(Ordering::Relaxed)), (400, 1_000));
        let one = read_full(&mut StreamBody::new(pieces(1)), &bodies, TIMEOUT).await.unwrap();
        assert_eq!((one.bytes.len(), bodies.taken.load(Ordering::Relaxed)), (100, 1_000));
        drop((whole, reading));
        assert_eq!(bodies.taken.load(Ordering::Relaxed), 0);
    }
}
