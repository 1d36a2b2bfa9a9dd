//! `/channels`: what there is, and what was in it.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, RawQuery, State, rejection::PathRejection},
};
use http::StatusCode;
use serde_json::{Value, json};
use tidecast::{Channel, ChannelInfo};
use tidecast_axum::{Problem, query};

use crate::{app::App, bounds::PAGE_MAX};

/// How many events of the past are answered where `last` does not say.
const LAST_DEFAULT: usize = 100;

/// `GET /channels?after=NAME`: a page of channels by name, and where the next page begins.
pub(super) async fn list(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Result<Json<Value>, Problem> {
    let after = parameter(query.as_deref(), "after")?;
    let mut channels = app.hub.channels(after.as_deref(), PAGE_MAX + 1);
    let more = channels.len() > PAGE_MAX;
    channels.truncate(PAGE_MAX);
    let next = channels.last().filter(|_| more).map(|last| last.channel.to_string());
    let channels: Vec<_> = channels.iter().map(describe).collect();
    Ok(Json(json!({ "channels": channels, "next": next })))
}

/// `GET /channels/{name}`.
pub(super) async fn show(State(app): State<Arc<App>>, name: Result<Path<String>, PathRejection>) -> Answer {
    let channel = parse(name)?;
    let info = app.hub.channel(&channel).ok_or_else(|| unknown(&channel))?;
    Ok(Json(describe(&info)))
}

/// `GET /channels/{name}/events?last=N`: the newest events, oldest first.
pub(super) async fn events(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Answer {
    let channel = parse(name)?;
    let last = parameter(query.as_deref(), "last")?.map_or(Ok(LAST_DEFAULT), |last| query::parse_last(&last))?;
    let history = app.hub.newest(&channel, last).await?;
    // With Redis a channel may have a past that this hub knows nothing of yet.
    if history.events.is_empty() && app.hub.channel(&channel).is_none() {
        return Err(unknown(&channel));
    }
    let events: Vec<_> = history
        .events
        .iter()
        .map(|event| {
            json!({
                "id": event.id(),
                "position": event.position.to_string(),
                "type": event.event_type(),
                "data": event.data(),
            })
        })
        .collect();
    Ok(Json(json!({ "channel": channel.as_str(), "events": events })))
}

/// `DELETE /channels/{name}`.
pub(super) async fn forget(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let channel = parse(name)?;
    if app.hub.forget(&channel).await? { Ok(StatusCode::NO_CONTENT) } else { Err(unknown(&channel)) }
}

type Answer = Result<Json<Value>, Problem>;

fn describe(info: &ChannelInfo) -> Value {
    json!({
        "channel": info.channel.as_str(),
        "subscribers": info.subscribers,
        "events": info.events,
        "bytes": info.bytes,
        "tail": info.tail.to_string(),
        "head": info.head.to_string(),
    })
}

fn parse(name: Result<Path<String>, PathRejection>) -> Result<Channel, Problem> {
    let Path(name) = name.map_err(|_| Problem::bad_request("the channel's name is not UTF-8"))?;
    Ok(Channel::new(&name)?)
}

fn unknown(channel: &Channel) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("nobody has published to `{channel}` or reads it"))
}

/// A parameter of the address, if it is there; others are passed over.
fn parameter(query: Option<&str>, name: &str) -> Result<Option<String>, Problem> {
    let pairs = query::pairs(query.unwrap_or_default().as_bytes())?;
    Ok(pairs.into_iter().find(|(given, _)| given == name).map(|(_, value)| value))
}
