//! `POST /publish`.

use axum::{
    BoxError,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::json;
use tidecast::{Hub, Publication, Published};
use tidecast_axum::Problem;

use crate::{
    access::{self, Wants},
    app::App,
    body::{read_out, read_whole},
    publish::{self, Asked},
};

/// Answers a request to publish.
pub(super) async fn answer<B>(app: &App, request: Request<B>) -> Response
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let (head, mut body) = request.into_parts();
    let patience = app.config.body_timeout;
    let refusal = match app.access.check(Wants::Change, &head.headers) {
        Ok(()) => match read_whole(&mut body, patience).await {
            Ok(body) => {
                let query = head.uri.query().unwrap_or_default();
                return publish(&app.hub, &head.headers, query, &body).await.unwrap_or_else(Problem::into_response);
            }
            Err(problem) => problem.into_response(),
        },
        Err(problem) => access::refusal(problem),
    };
    // Whoever was waited for in vain is not waited for again.
    if refusal.status() != StatusCode::REQUEST_TIMEOUT {
        read_out(&mut body, patience).await;
    }
    refusal
}

async fn publish(hub: &Hub, headers: &HeaderMap, query: &str, body: &[u8]) -> Result<Response, Problem> {
    Ok(match publish::read(hub, headers, query, body)? {
        Asked::One(publication) => {
            let published = hub.publish_publication(publication).await.map_err(failed)?;
            answer_with(&Answer::from(&published))
        }
        Asked::Several(publications) => {
            let published = publish_all(hub, publications).await?;
            answer_with(&published.iter().map(Answer::from).collect::<Vec<_>>())
        }
    })
}

/// Publishes one after the other. Where that fails half-way, those before are out already: the problem names them, so
/// that the rest can be sent again.
async fn publish_all(hub: &Hub, publications: Vec<Publication>) -> Result<Vec<Published>, Problem> {
    let mut all = Vec::with_capacity(publications.len());
    for (index, publication) in publications.into_iter().enumerate() {
        match hub.publish_publication(publication).await {
            Ok(published) => all.push(published),
            Err(error) => {
                let before: Vec<_> = all.iter().map(|published| json!(Answer::from(published))).collect();
                return Err(failed(error).with("index", index).with("published", before));
            }
        }
    }
    Ok(all)
}

/// Why an event was not published. A broker whose answer was lost may have taken it all the same: whoever sends it again
/// without a key may have it twice.
fn failed(error: tidecast::Error) -> Problem {
    let in_doubt = error.is_in_doubt();
    let problem = Problem::from(error);
    if in_doubt { problem.with("in_doubt", true) } else { problem }
}

/// What a publish is answered with.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    channel: &'a str,
    id: &'a str,
    position: String,
    receivers: usize,
}

impl<'a> From<&'a Published> for Answer<'a> {
    fn from(published: &'a Published) -> Self {
        Self {
            channel: published.channel.as_str(),
            id: &published.id,
            position: published.position.to_string(),
            receivers: published.receivers,
        }
    }
}

fn answer_with(answer: &impl Serialize) -> Response {
    match serde_json::to_vec(answer) {
        Ok(text) => {
            let mut response = Response::new(Body::from(text));
            let media_type = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, media_type);
            response
        }
        Err(error) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
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

    use super::publish_all;

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

        fn ready(&self) -> BrokerFuture<'_, ()> {
            Box::pin(async { Err(Error::unavailable("the broker has gone away")) })
        }

        fn close(&self) {}
    }

    #[tokio::test]
    async fn a_broker_that_fails_half_way_is_answered_with_what_was_published() {
        let hub = Hub::builder().broker(Arc::new(GoesAway(AtomicU64::new(0)))).build();
        let publication =
            || Publication { channel: Channel::default(), event: Event::text("x"), idempotency_key: None };
        let problem = publish_all(&hub, vec![publication(), publication(), publication(), publication()]).await;
        let response = problem.unwrap_err().into_response();
        assert_eq!(response.status(), 503);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["index"], 2);
        assert_eq!(problem["published"].as_array().unwrap().len(), 2);
        assert_eq!(problem["detail"], "the broker has gone away");
        assert_eq!(problem["in_doubt"], true);
    }
}
