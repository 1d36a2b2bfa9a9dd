//! `POST /publish`.

use std::io::Write;

use axum::{
    BoxError,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tidecast::{Hub, Published};
use tidecast_axum::Problem;
use tidecast_serve::ConnectionInfo;

use crate::{
    app::App,
    auth::Permission,
    http::{
        body::{drain, read_full},
        publish::{self, PublishItem, PublishRequest},
        router::NO_SNIFF,
    },
};

/// Room for an answer, unless a name or an id is long.
const ANSWER_BYTES: usize = 128;

/// Answers a request to publish.
pub(crate) async fn answer<B>(app: &App, connection: &ConnectionInfo, request: Request<B>) -> Response
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let (head, mut body) = request.into_parts();
    let timeout_after = app.settings.read().body_timeout;
    let refusal = match app.auth.check(Permission::Publish, "", &head.headers) {
        Ok(()) => match read_full(&mut body, &app.bodies, timeout_after).await {
            Ok(body) => {
                let query = head.uri.query().unwrap_or_default();
                return publish(&app.hub, &head.headers, query, &body.bytes)
                    .await
                    .unwrap_or_else(Problem::into_response);
            }
            Err(problem) => problem.into_response(),
        },
        Err(refusal) => app.auth.refusals.respond(&connection.origin, refusal).await,
    };
    // Whoever was waited for in vain is not waited for again.
    if refusal.status() != StatusCode::REQUEST_TIMEOUT {
        // Others may have the place meanwhile.
        connection.activity.set_idle();
        drain(&mut body, timeout_after).await;
    }
    refusal
}

async fn publish(hub: &Hub, headers: &HeaderMap, query: &str, body: &[u8]) -> Result<Response, Problem> {
    let mut answer = Vec::with_capacity(ANSWER_BYTES);
    match publish::read(hub, headers, query, body)? {
        PublishRequest::Single(item) => put_answer(&mut answer, &publish_one(hub, item).await?),
        PublishRequest::Batch(several) => put_answers(&mut answer, &publish_all(hub, several).await?),
    }
    let mut response = Response::new(Body::from(answer));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    Ok(response)
}

/// Publishes one after the other. Where that fails half-way, those before are out already: the problem names them, so
/// that the rest can be sent again.
async fn publish_all(hub: &Hub, several: Vec<PublishItem>) -> Result<Vec<Published>, Problem> {
    let mut all = Vec::with_capacity(several.len());
    for (index, item) in several.into_iter().enumerate() {
        match publish_one(hub, item).await {
            Ok(published) => all.push(published),
            Err(problem) => {
                let mut before = Vec::new();
                put_answers(&mut before, &all);
                let before: serde_json::Value = serde_json::from_slice(&before).unwrap_or_default();
                return Err(problem.with("index", index).with("published", before));
            }
        }
    }
    Ok(all)
}

async fn publish_one(hub: &Hub, item: PublishItem) -> Result<Published, Problem> {
    let PublishItem { publication, refuses_conflict } = item;
    let published = hub.publish_publication(publication).await.map_err(failed)?;
    if refuses_conflict && published.differs {
        let position = published.position.to_string();
        let why =
            "the idempotency key belongs to another event, which was published before; this event is not published";
        return Err(Problem::new(StatusCode::CONFLICT, why).with("position", position));
    }
    Ok(published)
}

/// Why an event was not published. A broker whose answer was lost may have taken it all the same: whoever sends it again
/// without a key may have it twice.
fn failed(error: tidecast::Error) -> Problem {
    let in_doubt = error.is_in_doubt();
    let problem = Problem::from(error);
    if in_doubt { problem.with("in_doubt", true) } else { problem }
}

/// Appends the answer to one publish, with the newline that each answer ends with.
pub(crate) fn put_answer(out: &mut Vec<u8>, published: &Published) {
    put_object(out, published);
    out.push(b'\n');
}

/// Appends what came of one publish. By hand, as it is the same for each but for four values of which hardly one needs an
/// escape.
fn put_object(out: &mut Vec<u8>, published: &Published) {
    out.extend_from_slice(b"{\"channel\":");
    put_string(out, published.channel.as_str());
    out.extend_from_slice(b",\"id\":");
    put_string(out, &published.id);
    // Writing to memory does not fail.
    let _ = write!(out, ",\"position\":\"{}\",\"receivers\":{}", published.position, published.receivers);
    if published.repeated {
        out.extend_from_slice(b",\"repeated\":true");
    }
    if published.differs {
        out.extend_from_slice(b",\"differs\":true");
    }
    out.extend_from_slice(if published.delayed { b",\"delayed\":true}" } else { b"}" });
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    if text.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        let _ = serde_json::to_writer(out, text);
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Appends the answer to several, an array.
fn put_answers(out: &mut Vec<u8>, published: &[Published]) {
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

    use super::{PublishItem, publish_all, put_answers};

    /// A broker that goes away after two events.
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
    async fn a_broker_that_fails_half_way_is_answered_with_what_was_published() {
        let hub = Hub::builder().broker(Arc::new(GoesAway(AtomicU64::new(0)))).build();
        let item = || {
            let publication = Publication::new(Channel::default(), Event::text("x")).unwrap();
            PublishItem { publication, refuses_conflict: false }
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

    /// A hub that could not hear Redis answered a publish as any other, though its own readers heard nothing.
    #[tokio::test]
    async fn an_answer_says_that_this_hubs_readers_hear_later() {
        let hub = Hub::new();
        let mut published = hub.publish("a", Event::text("x")).await.unwrap();
        published.delayed = true;
        let mut text = Vec::new();
        super::put_answer(&mut text, &published);
        assert!(text.ends_with(b",\"receivers\":0,\"delayed\":true}\n"), "{}", text.escape_ascii());
    }

    #[tokio::test]
    async fn an_answer_is_the_json_of_its_values_whatever_they_are() {
        let hub = Hub::new();
        let mut all = Vec::new();
        for (channel, id) in [("a", "own"), ("\"ä\\", "\u{2028}\"'/\\é"), ("b", "")] {
            let event = Event::text("x");
            let event = if id.is_empty() { event } else { event.with_id(id).unwrap() };
            all.push(hub.publish(channel, event).await.unwrap());
        }
        let mut text = Vec::new();
        put_answers(&mut text, &all);
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
