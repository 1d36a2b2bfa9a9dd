//! Reads the bodies of requests, or drains them if the request was refused.
//!
//! Both are bounded in bytes and in time. A body that has arrived, as most have, needs no timer.
//!
//! The memory of all bodies that arrive in more than one piece is bounded by [`BodyMemory`]. If it is full, a publish gets
//! 503 at once. A body in one piece lies in the buffer of its connection and needs no further memory, so large bodies never
//! keep small ones out.

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

/// The `Retry-After` of a publish for whose body there was no memory.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The byte order mark, with which some editors and shells begin UTF-8.
pub(crate) const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The memory for bodies that are being read or published.
#[derive(Debug)]
pub(crate) struct BodyMemory {
    used: AtomicUsize,
    bytes_max: usize,
}

/// The memory that a body uses, returned on drop.
#[derive(Debug)]
pub(crate) struct Reservation<'a> {
    bodies: &'a BodyMemory,
    bytes: usize,
}

/// A complete body, and its memory.
#[derive(Debug)]
pub(crate) struct FullBody<'a> {
    pub(crate) bytes: Bytes,
    _reservation: Reservation<'a>,
}

impl BodyMemory {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { used: AtomicUsize::new(0), bytes_max }
    }

    /// Reserves memory for a body.
    pub(crate) fn reserve(&self, bytes: usize) -> Result<Reservation<'_>, Problem> {
        let mut reservation = Reservation { bodies: self, bytes: 0 };
        reservation.grow(bytes)?;
        Ok(reservation)
    }
}

impl Reservation<'_> {
    fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        let add = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.bodies.bytes_max);
        if self.bodies.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_err() {
            let why = "the memory for large bodies is full (`bodies_bytes`), so nothing was published; try again";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why).retry_after(RETRY_AFTER));
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.bodies.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Reads a body. A body in one piece is not copied.
pub(crate) async fn read_full<'a, B>(
    body: &mut B,
    bodies: &'a BodyMemory,
    time_limit: Duration,
) -> Result<FullBody<'a>, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let reading = async {
        let mut reservation = Reservation { bodies, bytes: 0 };
        let mut first = Bytes::new();
        let mut joined = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Problem::bad_request("the body ended early"))?;
            let Ok(data) = frame.into_data() else { continue };
            if first.len().max(joined.len()) + data.len() > BODY_BYTES_MAX {
                let why = format!("the body is longer than {BODY_BYTES_MAX} bytes");
                return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, why));
            }
            if first.is_empty() {
                first = data;
            } else {
                if joined.is_empty() {
                    reservation.grow(first.len())?;
                    joined.extend_from_slice(&first);
                }
                reservation.grow(data.len())?;
                joined.extend_from_slice(&data);
            }
            if body.is_end_stream() {
                break;
            }
        }
        Ok(FullBody { bytes: if joined.is_empty() { first } else { joined.freeze() }, _reservation: reservation })
    };
    within(time_limit, reading).await.unwrap_or_else(|| Err(too_slow()))
}

/// Returns the problem of a body that does not arrive in time.
pub(crate) fn too_slow() -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "the body took too long to arrive")
}

/// Reads and discards the rest of a body.
///
/// Otherwise the connection would be reset while the client still sends, and the client could not read the response. A client
/// that sends too slowly or too much cannot read it anyway.
pub(crate) async fn drain<B>(body: &mut B, time_limit: Duration)
where
    B: Body<Data = Bytes, Error: Into<axum::BoxError>> + Unpin,
{
    if body.is_end_stream() {
        return;
    }
    let mut bounded = Limited::new(body, REFUSED_BODY_BYTES_MAX);
    within(time_limit, async { while let Some(Ok(_)) = bounded.frame().await {} }).await;
}

/// Waits for a future; `None` if the time limit passes first. The timer is created only if the future is not ready at once.
async fn within<T>(time_limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    match poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await {
        Poll::Ready(done) => Some(done),
        Poll::Pending => timeout(time_limit, future).await.ok(),
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
    async fn bodies_in_pieces_share_the_memory() {
        use futures_util::StreamExt;

        let bodies = BodyMemory::new(1_000);
        // A body that never ends holds what has arrived of it.
        let mut endless = StreamBody::new(pieces(6).chain(stream::pending()));
        let mut reading = Box::pin(read_full(&mut endless, &bodies, TIMEOUT));
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut reading).poll(&mut context).is_pending());
        assert_eq!(bodies.used.load(Ordering::Relaxed), 600);
        let refused = read_full(&mut StreamBody::new(pieces(5)), &bodies, TIMEOUT).await.unwrap_err();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        // A refused body holds nothing, a complete one its size until it is dropped, and one in one piece nothing.
        let whole = read_full(&mut StreamBody::new(pieces(4)), &bodies, TIMEOUT).await.unwrap();
        assert_eq!((whole.bytes.len(), bodies.used.load(Ordering::Relaxed)), (400, 1_000));
        let one = read_full(&mut StreamBody::new(pieces(1)), &bodies, TIMEOUT).await.unwrap();
        assert_eq!((one.bytes.len(), bodies.used.load(Ordering::Relaxed)), (100, 1_000));
        drop((whole, reading));
        assert_eq!(bodies.used.load(Ordering::Relaxed), 0);
    }
}
