//! A stream as a response, and the response that asks to come back later.

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
    Feed, Hub, Subscription,
    wire::{CONTENT_TYPE, FirstBlock, IdCommit, final_block},
};
use tokio::runtime::Handle;

use crate::{Handover, StreamOptions, body::SseBody, source::Source};

/// How often a hub that serves streams is swept.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// What every event stream's head says, besides its media type: it is not to be stored, changed or buffered on its way.
const HEAD: [(HeaderName, HeaderValue); 3] = [
    (header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE)),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform")),
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
];

/// A subscription, or a publisher's feed, as a response: for handlers that choose the channels themselves.
///
/// The first stream of a hub also starts the task that sweeps it every second, for as long as the hub lives.
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
/// Of a publisher, whose subscribers differ:
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
    handover: Option<Handover>,
}

impl Sse {
    /// A response with the default options.
    pub fn new(subscription: Subscription) -> Self {
        Self::of(Source::Subscription(subscription))
    }

    /// Sets the options.
    pub fn options(mut self, options: StreamOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets whether the stream begins with an event `stream-open`; see [`open_event`](tidecast::wire::FirstBlock::open_event).
    pub fn open_event(mut self, open_event: bool) -> Self {
        self.first.open_event = open_event;
        self
    }

    /// Sets how the stream begins by the headers of its request: without an empty message in clients that hand one out
    /// for each empty line. See [`IdCommit`].
    ///
    /// [`Streams`](crate::Streams) do so by themselves. By default it begins as for a browser's own `EventSource`.
    pub fn for_request(mut self, headers: &HeaderMap) -> Self {
        let value = |name| headers.get(name).map(HeaderValue::as_bytes);
        self.first.commit =
            IdCommit::of_request(value(header::CACHE_CONTROL), value(header::USER_AGENT), value(FETCH_MODE));
        self
    }

    /// Sets where a server may take the stream from: what it left in the request's extensions, if anything.
    ///
    /// [`Streams`](crate::Streams) do so by themselves. A publisher's feed stays in its body whatever is set.
    pub fn handover(mut self, handover: Option<Handover>) -> Self {
        self.handover = handover;
        self
    }

    fn of(source: Source) -> Self {
        Self { source, options: StreamOptions::default(), first: FirstBlock::default(), handover: None }
    }
}

impl From<Subscription> for Sse {
    fn from(subscription: Subscription) -> Self {
        Self::new(subscription)
    }
}

/// It has no ids but those that events were given, and no event `stream-open`. A client that is slower than the feed
/// allows holds up nobody, unless the feed has publishers wait.
impl From<Feed> for Sse {
    fn from(feed: Feed) -> Self {
        Self::of(Source::Feed(feed))
    }
}

impl IntoResponse for Sse {
    fn into_response(self) -> Response {
        if let Source::Subscription(subscription) = &self.source {
            start_sweeping(&subscription.hub());
        }
        (HEAD, Body::new(SseBody::new(self.source, self.options, self.first, self.handover))).into_response()
    }
}

/// The head of an event stream without a body: the answer to `HEAD`.
pub(crate) fn head_only() -> Response {
    (HEAD, Body::new(NoBody)).into_response()
}

/// No body, and no word on how long it is: an empty one would answer `Content-Length: 0`, as if that were a stream's.
struct NoBody;

impl http_body::Body for NoBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }
}

/// A stream that says only when to come back, for what will pass: a full or an ending server.
///
/// Never an error status, at which an `EventSource` would give up for good. The head says `Connection: close`, as a client
/// that waits elsewhere would keep a connection that others need.
#[must_use]
pub fn come_back_in(retry: Duration) -> Response {
    let close = [(header::CONNECTION, HeaderValue::from_static("close"))];
    (HEAD, close, final_block(retry)).into_response()
}

fn start_sweeping(hub: &Hub) {
    let Ok(runtime) = Handle::try_current() else { return };
    let Some(sweeper) = hub.sweeper() else { return };
    runtime.spawn(async move {
        let mut ticks = tokio::time::interval(SWEEP_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if !sweeper.sweep() {
                break;
            }
        }
    });
}
