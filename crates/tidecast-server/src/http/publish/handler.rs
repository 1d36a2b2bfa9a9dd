//! Handles `POST /publish`.

use axum::{
    BoxError,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use tidecast::{Hub, Published, internals::put_json_string};
use tidecast_axum::Problem;
use tidecast_serve::ConnectionInfo;

use super::{
    item::{OnConflict, PublishItem, PublishRequest},
    parse::parse,
};
use crate::{
    app::App,
    auth::Permission,
    config::Config,
    http::{
        body::{drain, read_full},
        cors,
        response::NO_SNIFF,
    },
};

/// The size of most response bodies, in bytes.
const RESPONSE_BYTES: usize = 128;

/// Handles a request to publish.
pub(crate) async fn handle<B>(app: &App, connection: &ConnectionInfo, request: Request<B>) -> Response
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let (head, body) = request.into_parts();
    let config = app.config.snapshot();
    let mut response = answer(app, &config, connection, &head, body).await;
    response.headers_mut().extend(cors::page_headers(&config.access, &head.headers));
    response
}

async fn answer<B>(app: &App, config: &Config, connection: &ConnectionInfo, head: &Parts, mut body: B) -> Response
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let failure = match app.auth.check(&config.access, Permission::Publish, &head.headers) {
        Ok(()) => match read_full(&mut body, &app.bodies, config.body_timeout).await {
            Ok(body) => {
                let mut out = Vec::with_capacity(RESPONSE_BYTES);
                let query = head.uri.query().unwrap_or_default();
                let outcome = publish(&app.hub, &head.headers, query, &body.bytes, &mut out).await;
                return respond(outcome, out);
            }
            Err(problem) => problem.into_response(),
        },
        Err(refusal) => app.auth.refusals.respond(&connection.origin, refusal).await,
    };
    // After a time-out there is no further wait for the client.
    if failure.status() != StatusCode::REQUEST_TIMEOUT {
        // Another connection may take the place meanwhile.
        connection.activity.set_idle();
        drain(&mut body, config.body_timeout).await;
    }
    failure
}

/// Parses and publishes the events of a request, and appends the body of the response.
pub(super) async fn publish(
    hub: &Hub,
    headers: &HeaderMap,
    query: &str,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    match parse(hub, headers, query, body)? {
        PublishRequest::Single(item) => put_result(out, &publish_one(hub, item).await?),
        PublishRequest::Batch(items) => put_results(out, &publish_all(hub, items).await?),
    }
    Ok(())
}

/// Returns the response to a publish with this body, or that of its problem.
pub(super) fn respond(outcome: Result<(), Problem>, body: Vec<u8>) -> Response {
    if let Err(problem) = outcome {
        return problem.into_response();
    }
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    response
}

/// Publishes events one after the other. If one fails, the problem lists those before it, which are published, so that the
/// client can send the rest again.
async fn publish_all(hub: &Hub, items: Vec<PublishItem>) -> Result<Vec<Published>, Problem> {
    let mut all = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        match publish_one(hub, item).await {
            Ok(published) => all.push(published),
            Err(problem) => {
                let mut before = Vec::new();
                put_results(&mut before, &all);
                let before: serde_json::Value = serde_json::from_slice(&before).unwrap_or_default();
                return Err(problem.with("index", index).with("published", before));
            }
        }
    }
    Ok(all)
}

async fn publish_one(hub: &Hub, item: PublishItem) -> Result<Published, Problem> {
    let PublishItem { publication, on_conflict } = item;
    let published = hub.publish_publication(publication).await.map_err(failed)?;
    if on_conflict == OnConflict::Reject && published.differs {
        let position = published.position.to_string();
        let why =
            "the idempotency key belongs to another event, which was published before; this event is not published";
        return Err(Problem::new(StatusCode::CONFLICT, why).with("position", position));
    }
    Ok(published)
}

/// Returns the problem of a failed publish. If the broker may have accepted the event, the problem says so: without an
/// idempotency key, a repetition could publish it twice.
fn failed(error: tidecast::Error) -> Problem {
    let in_doubt = error.is_in_doubt();
    let problem = Problem::from(error);
    if in_doubt { problem.with("in_doubt", true) } else { problem }
}

/// Appends the response to a single event, which ends with a newline.
fn put_result(out: &mut Vec<u8>, published: &Published) {
    put_object(out, published);
    out.push(b'\n');
}

/// Appends the result of one publish. Written by hand, because only four values vary.
fn put_object(out: &mut Vec<u8>, published: &Published) {
    out.extend_from_slice(b"{\"channel\":");
    put_json_string(out, published.channel.as_str());
    out.extend_from_slice(b",\"id\":");
    put_json_string(out, &published.id);
    out.extend_from_slice(b",\"position\":\"");
    published.position.write_to(out);
    out.extend_from_slice(b"\",\"receivers\":");
    out.extend_from_slice(itoa::Buffer::new().format(published.receivers).as_bytes());
    if published.repeated {
        out.extend_from_slice(b",\"repeated\":true");
    }
    if published.differs {
        out.extend_from_slice(b",\"differs\":true");
    }
    out.extend_from_slice(if published.delayed { b",\"delayed\":true}" } else { b"}" });
}

/// Appends the response to a batch, an array.
fn put_results(out: &mut Vec<u8>, published: &[Published]) {
    out.push(b'[');
    for (index, published) in published.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        put_object(out, published);
    }
    out.extend_from_slice(b"]\n");
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use axum::response::IntoResponse;
    use http_body_util::BodyExt;
    use tidecast::{
        Channel, Epoch, Error, Event, Hub, Position, Publication, Published,
        broker::{Broker, BrokerFuture, Deliveries, History, Since},
    };

    use super::*;

    /// A broker that becomes unavailable after two events.
    #[derive(Debug)]
    struct GoesAway(AtomicU64);

    impl Broker for GoesAway {
        fn start(&self, _deliveries: Deliveries) {}

        fn publish(&self, publication: Publication) -> BrokerFuture<'_, Published> {
            let offset = self.0.fetch_add(1, Ordering::SeqCst) + 1;
            Box::pin(async move {
                if offset > 2 {
                    return Err(Error::unavailable("the broker has gone away").in_doubt());
                }
                Ok(Published::new(&publication, Position { epoch: Epoch::random(), offset }, 0))
            })
        }

        fn subscribe(&self, _channel: &Channel) {}

        fn release(&self, _channel: &Channel) {}

        fn history<'a>(&'a self, _: &'a Channel, _: Since, _: usize) -> BrokerFuture<'a, History> {
            Box::pin(async { Err(Error::unavailable("the broker has gone away")) })
        }

        fn forget<'a>(&'a self, _: &'a Channel) -> BrokerFuture<'a, bool> {
            Box::pin(async { Err(Error::unavailable("the broker has gone away")) })
        }

        fn send_control<'a>(&'a self, _: &'a [u8]) -> BrokerFuture<'a, ()> {
            Box::pin(async { Err(Error::unavailable("the broker has gone away")) })
        }

        fn ready(&self) -> BrokerFuture<'_, ()> {
            Box::pin(async { Err(Error::unavailable("the broker has gone away")) })
        }

        fn close(&self) {}
    }

    #[tokio::test]
    async fn a_batch_that_fails_half_way_lists_what_was_published() {
        let hub = Hub::builder().broker(Arc::new(GoesAway(AtomicU64::new(0)))).build();
        let item = || {
            let publication = Publication::new(Channel::default(), Event::text("x")).unwrap();
            PublishItem { publication, on_conflict: OnConflict::Ignore }
        };
        let problem = publish_all(&hub, vec![item(), item(), item(), item()]).await;
        let response = problem.unwrap_err().into_response();
        assert_eq!(response.status(), 503);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["index"], 2);
        assert_eq!(problem["published"].as_array().unwrap().len(), 2);
        assert_eq!(problem["detail"], "the broker has gone away");
        assert_eq!(problem["in_doubt"], true);
    }

    /// A hub without its pub/sub connection to Redis responded as ever, though its own subscribers received nothing.
    #[tokio::test]
    async fn a_response_says_that_this_hubs_subscribers_receive_later() {
        let hub = Hub::new();
        let mut published = hub.publish("a", Event::text("x")).await.unwrap();
        published.delayed = true;
        let mut text = Vec::new();
        put_result(&mut text, &published);
        assert!(text.ends_with(b",\"receivers\":0,\"delayed\":true}\n"), "{}", text.escape_ascii());
    }

    #[tokio::test]
    async fn a_response_is_valid_json_for_all_values() {
        let hub = Hub::new();
        let mut all = Vec::new();
        for (channel, id) in [("a", "own"), ("\"ä\\", "\u{2028}\"'/\\é"), ("b", "")] {
            let event = Event::text("x");
            let event = if id.is_empty() { event } else { event.with_id(id).unwrap() };
            all.push(hub.publish(channel, event).await.unwrap());
        }
        let mut text = Vec::new();
        put_results(&mut text, &all);
        let expected: Vec<_> = all
            .iter()
            .map(|published| {
                serde_json::json!({
                    "channel": published.channel.as_str(),
                    "id": published.id,
                    "position": published.position.to_string(),
                    "receivers": 0,
                })
            })
            .collect();
        assert_eq!(String::from_utf8(text).unwrap(), serde_json::to_string(&expected).unwrap() + "\n");
    }
}
