//! A stream as a response, and the response that tells a client to reconnect later.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body::Frame;
use tidecast::{
    Feed, Subscription, Sweeper,
    wire::{CONTENT_TYPE, FirstBlock, IdCommit, final_block},
};
use tokio::{
    runtime::Handle,
    time::{MissedTickBehavior, interval},
};

use crate::{
    StreamOptions,
    body::SseBody,
    handoff::StreamHandoff,
    stream::{Source, Stream},
};

/// The interval at which a hub is swept.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// The headers of every event stream: its media type, and that it must not be stored, changed or buffered.
const STREAM_HEADERS: [(HeaderName, HeaderValue); 3] = [
    (header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE)),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform")),
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
];

/// A subscription, or the feed of a publisher, as a response: for handlers that choose the channels themselves.
///
/// The first stream of a hub also starts the task that sweeps the hub every second until it closes.
///
/// # Examples
///
/// ```
/// use axum::extract::{Path, State};
/// use tidecast::Hub;
/// use tidecast_axum::{Problem, ResumeFrom, Sse};
///
/// async fn orders(
///     State(hub): State<Hub>,
///     Path(shop): Path<u32>,
///     ResumeFrom(start): ResumeFrom,
/// ) -> Result<Sse, Problem> {
///     Ok(Sse::new(hub.subscribe([format!("orders.{shop}")], start)?))
/// }
/// # let _: axum::Router = axum::Router::new().route("/{shop}", axum::routing::get(orders)).with_state(Hub::new());
/// ```
///
/// The feed of a publisher, whose subscribers differ:
///
/// ```
/// use axum::extract::{Path, State};
/// use tidecast::{FeedOptions, Publisher};
/// use tidecast_axum::{Problem, Sse};
///
/// struct User {
///     name: String,
/// }
///
/// async fn chat(State(publisher): State<Publisher<User>>, Path(name): Path<String>) -> Result<Sse, Problem> {
///     Ok(Sse::from(publisher.subscribe(["chat"], User { name }, FeedOptions::default())?))
/// }
/// # let _: axum::Router = axum::Router::new().route("/{name}", axum::routing::get(chat)).with_state(Publisher::new());
/// ```
#[derive(Debug)]
#[must_use = "a response does nothing until it is returned"]
pub struct Sse {
    source: Source,
    options: StreamOptions,
    first: FirstBlock,
    handoff: Option<StreamHandoff>,
}

impl Sse {
    /// Creates a response with the default options.
    pub fn new(subscription: Subscription) -> Self {
        Self::from_source(Source::Subscription(subscription))
    }

    /// Sets the options.
    pub fn options(mut self, options: StreamOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets whether the stream begins with an event `stream-open`, as in
    /// [`FirstBlock::open_event`](tidecast::wire::FirstBlock::open_event).
    pub fn open_event(mut self, open_event: bool) -> Self {
        self.first.open_event = open_event;
        self
    }

    /// Chooses the beginning of the stream by the headers of the request: clients that return a message for each empty line
    /// get none. See [`IdCommit`].
    ///
    /// [`Streams`](crate::Streams) does this by itself. By default the stream begins as for a browser's own `EventSource`.
    pub fn for_request(mut self, headers: &HeaderMap) -> Self {
        let value = |name| headers.get(name).map(HeaderValue::as_bytes);
        self.first.commit =
            IdCommit::of_request(value(header::CACHE_CONTROL), value(header::USER_AGENT), value(FETCH_MODE));
        self
    }

    /// Sets the cell from which a server may take the stream, if the server put one into the request's extensions.
    ///
    /// [`Streams`](crate::Streams) does this by itself. A publisher's feed stays in its body in any case.
    #[doc(hidden)]
    pub fn handoff(mut self, handoff: Option<StreamHandoff>) -> Self {
        self.handoff = handoff;
        self
    }

    fn from_source(source: Source) -> Self {
        Self { source, options: StreamOptions::default(), first: FirstBlock::default(), handoff: None }
    }
}

impl From<Subscription> for Sse {
    fn from(subscription: Subscription) -> Self {
        Self::new(subscription)
    }
}

/// The stream has only the ids that publishers gave, and no event `stream-open`. A client that is slower than the bounds of
/// the feed delays nobody, unless the feed makes publishers wait.
impl From<Feed> for Sse {
    fn from(feed: Feed) -> Self {
        Self::from_source(Source::Feed(feed))
    }
}

impl IntoResponse for Sse {
    fn into_response(self) -> Response {
        if let Source::Subscription(subscription) = &self.source
            && let Ok(runtime) = Handle::try_current()
            && let Some(sweeper) = subscription.hub().sweeper()
        {
            runtime.spawn(async move { sweep_until_closed(&sweeper).await });
        }
        let stream = Stream::new(self.source, self.options, self.first);
        (STREAM_HEADERS, Body::new(SseBody::new(stream, self.handoff))).into_response()
    }
}

/// Returns the head of an event stream without a body: the answer to `HEAD`.
pub(crate) fn head_response() -> Response {
    (STREAM_HEADERS, Body::new(NoBody)).into_response()
}

/// No body of unknown length. An empty body would send `Content-Length: 0`, which is not the length of the stream.
struct NoBody;

impl http_body::Body for NoBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }
}

/// Returns a stream that only tells the client to reconnect after `retry`, for what will pass: a full or a closing server.
///
/// It is not an error status, at which an `EventSource` would give up for good. It closes the connection, which a waiting
/// client would otherwise keep from others.
#[must_use]
pub fn retry_later(retry: Duration) -> Response {
    let close = [(header::CONNECTION, HeaderValue::from_static("close"))];
    (STREAM_HEADERS, close, final_block(retry)).into_response()
}

/// Sweeps a hub every second until it is closed.
pub async fn sweep_until_closed(sweeper: &Sweeper) {
    let mut ticks = interval(SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if !sweeper.sweep() {
            break;
        }
    }
}
