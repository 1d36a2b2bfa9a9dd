//! The body of a request: read whole, or read out where the request was refused without it.
//!
//! Both are bounded, in bytes and in time. What is there already is taken without a timer, which most bodies are.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use tidecast_axum::Problem;
use tokio::time::timeout;

use crate::bounds::{BODY_BYTES_MAX, REFUSED_BODY_BYTES_MAX};

/// Reads a body. One that came in one piece is not copied.
pub(crate) async fn read_whole<B>(body: &mut B, patience: Duration) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let reading = async {
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
                    joined.extend_from_slice(&first);
                }
                joined.extend_from_slice(&data);
            }
            if body.is_end_stream() {
                break;
            }
        }
        Ok(if joined.is_empty() { first } else { joined.freeze() })
    };
    let too_slow = || Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body took too long to arrive"));
    within(patience, reading).await.unwrap_or_else(too_slow)
}

/// Reads what is left of a body that nobody wants.
///
/// Whoever answers without that would have its connection reset under the client that still sends, and the client would
/// not get to see the answer. Who sends too slowly or too much does not see it; there is no more that can be done.
pub(crate) async fn read_out<B>(body: &mut B, patience: Duration)
where
    B: Body<Data = Bytes, Error: Into<axum::BoxError>> + Unpin,
{
    if body.is_end_stream() {
        return;
    }
    let mut bounded = Limited::new(body, REFUSED_BODY_BYTES_MAX);
    within(patience, async { while let Some(Ok(_)) = bounded.frame().await {} }).await;
}

/// Waits for something for so long; `None` where that was not enough. A timer is made only for what is not there yet.
async fn within<T>(patience: Duration, something: impl Future<Output = T>) -> Option<T> {
    let mut something = pin!(something);
    match poll_fn(|context| Poll::Ready(something.as_mut().poll(context))).await {
        Poll::Ready(done) => Some(done),
        Poll::Pending => timeout(patience, something).await.ok(),
    }
}
