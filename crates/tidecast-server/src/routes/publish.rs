//! `POST /publish`.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{RawQuery, State},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde_json::json;
use tidecast::{Hub, Publication, Published};
use tidecast_axum::Problem;
use tokio::time::timeout;

use crate::{
    app::App,
    bounds::BODY_BYTES_MAX,
    publish::{self, Asked},
};

pub(super) async fn publish(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<serde_json::Value>, Problem> {
    let body = read_body(&app, body).await?;
    match publish::read(&app.hub, &headers, query.as_deref().unwrap_or_default(), &body)? {
        Asked::One(publication) => {
            let published = app.hub.publish_publication(publication).await.map_err(failed)?;
            Ok(Json(answer(&published)))
        }
        Asked::Several(publications) => publish_all(&app.hub, publications).await.map(|answers| Json(answers.into())),
    }
}

/// Publishes one after the other. Where that fails half-way, those before are out already: the problem names them, so
/// that the rest can be sent again.
async fn publish_all(hub: &Hub, publications: Vec<Publication>) -> Result<Vec<serde_json::Value>, Problem> {
    let mut answers = Vec::with_capacity(publications.len());
    for (index, publication) in publications.into_iter().enumerate() {
        match hub.publish_publication(publication).await {
            Ok(published) => answers.push(answer(&published)),
            Err(error) => return Err(failed(error).with("index", index).with("published", answers)),
        }
    }
    Ok(answers)
}

/// Why an event was not published. A broker whose answer was lost may have taken it all the same: whoever sends it again
/// without a key may have it twice.
fn failed(error: tidecast::Error) -> Problem {
    let in_doubt = error.is_in_doubt();
    let problem = Problem::from(error);
    if in_doubt { problem.with("in_doubt", true) } else { problem }
}

async fn read_body(app: &App, body: Body) -> Result<Bytes, Problem> {
    let reading = Limited::new(body, BODY_BYTES_MAX).collect();
    match timeout(app.config.body_timeout, reading).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {BODY_BYTES_MAX} bytes")))
        }
        Ok(Err(_)) => Err(Problem::bad_request("the body ended too early")),
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body took too long to arrive")),
    }
}

/// What a publish is answered with.
fn answer(published: &Published) -> serde_json::Value {
    json!({
        "channel": published.channel.as_str(),
        "id": published.id,
        "position": published.position.to_string(),
        "receivers": published.receivers,
    })
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
