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
use tidecast::Published;
use tidecast_axum::Problem;
use tokio::time::timeout;

use crate::{
    app::App,
    config::BODY_BYTES_MAX,
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
            let published = app.hub.publish_publication(publication).await?;
            Ok(Json(answer(&published)))
        }
        Asked::Several(publications) => {
            let mut answers = Vec::with_capacity(publications.len());
            for (index, publication) in publications.into_iter().enumerate() {
                match app.hub.publish_publication(publication).await {
                    Ok(published) => answers.push(answer(&published)),
                    // Those before are out already: they are named, so that the rest can be sent again.
                    Err(error) => return Err(Problem::from(error).with("index", index).with("published", answers)),
                }
            }
            Ok(Json(answers.into()))
        }
    }
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
