//! `/channels`: lists, describes and deletes channels, and returns their past events.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, StatusCode, Uri, header};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tidecast::{Channel, ChannelInfo};
use tidecast_axum::{Problem, internals::query};

use super::past_events::PastEvents;
use crate::{
    app::App,
    http::{
        parameters,
        response::{json_line, method_not_allowed},
    },
    limits::PAGE_MAX,
};

/// Number of past events in a response without `last`.
const LAST_DEFAULT: usize = 100;

/// The part of a path after `/channels/`.
#[derive(Debug, PartialEq, Eq)]
enum ChannelPath {
    Channel(Channel),
    /// The name with `/events` after it.
    Events(Channel),
}

/// Handles `GET /channels?after=NAME`: returns a page of channels by name, and the start of the next page.
pub(crate) async fn list(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    parameters::refuse_unknown(query.as_deref(), &["after"])?;
    let after = parameters::value(query.as_deref(), "after")?;
    let mut channels = app.hub.channels(after.as_deref(), PAGE_MAX + 1);
    let more = channels.len() > PAGE_MAX;
    channels.truncate(PAGE_MAX);
    let next = channels.last().filter(|_| more).map(|last| last.channel.to_string());
    let channels: Vec<_> = channels.iter().map(describe).collect();
    Ok(json_line(&json!({ "channels": channels, "next": next })))
}

/// Handles `GET /channels/{name}` and `GET /channels/{name}/events?last=N`.
pub(crate) async fn show(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    match ChannelPath::parse(&uri)? {
        ChannelPath::Channel(channel) => {
            parameters::refuse_unknown(uri.query(), &[])?;
            let info = app.hub.channel(&channel).ok_or_else(|| unknown(&channel))?;
            Ok(json_line(&describe(&info)))
        }
        ChannelPath::Events(channel) => events(&app, &channel, uri.query()).await,
    }
}

/// Returns the newest events, oldest first.
async fn events(app: &App, channel: &Channel, query: Option<&str>) -> Result<Response, Problem> {
    parameters::refuse_unknown(query, &["last"])?;
    let last = parameters::value(query, "last")?.map_or(Ok(LAST_DEFAULT), |last| query::parse_last(&last))?;
    let newest = app.hub.newest(channel, last.min(1)).await?;
    // With Redis a channel may have a history that this hub has not read yet.
    if newest.events.is_empty() && app.hub.channel(channel).is_none() {
        return Err(unknown(channel));
    }
    let head = newest.events.first().map(|event| event.position);
    Ok((
        [(header::CONTENT_TYPE, "application/json")],
        PastEvents::new(app.hub.clone(), channel, head, last).into_body(),
    )
        .into_response())
}

/// Handles `DELETE /channels/{name}`.
pub(crate) async fn delete(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    let channel = match ChannelPath::parse(&uri)? {
        ChannelPath::Channel(channel) => channel,
        ChannelPath::Events(_) => return Ok(wrong_method(Method::DELETE, uri).await),
    };
    parameters::refuse_unknown(uri.query(), &[])?;
    if app.hub.forget(&channel).await? { Ok(StatusCode::NO_CONTENT.into_response()) } else { Err(unknown(&channel)) }
}

/// Responds to a method that a path does not support with a 405. Events can only be read.
pub(crate) async fn wrong_method(method: Method, uri: Uri) -> Response {
    let mut response = method_not_allowed(&method, "GET");
    if matches!(ChannelPath::parse(&uri), Ok(ChannelPath::Events(_))) {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET,HEAD"));
    }
    response
}

impl ChannelPath {
    /// Parses a path. The name may have slashes; `/events` at its end is not part of it unless the slash is written `%2F`.
    fn parse(uri: &Uri) -> Result<Self, Problem> {
        let rest = uri.path().strip_prefix("/channels/").unwrap_or_default();
        match rest.strip_suffix("/events") {
            Some(name) => parse_name(name).map(Self::Events),
            None => parse_name(rest).map(Self::Channel),
        }
    }
}

fn parse_name(name: &str) -> Result<Channel, Problem> {
    let name = percent_decode_str(name).decode_utf8();
    Ok(Channel::new(&name.map_err(|_| Problem::bad_request("the channel name is not UTF-8"))?)?)
}

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

fn unknown(channel: &Channel) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("`{channel}` is unknown: it has neither events nor subscribers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_path_is_the_name() {
        let parsed =
            |path: &str| ChannelPath::parse(&path.parse().unwrap()).map_err(|problem| problem.detail().to_owned());
        let channel = |name: &str| Ok(ChannelPath::Channel(Channel::new(name).unwrap()));
        let events = |name: &str| Ok(ChannelPath::Events(Channel::new(name).unwrap()));
        for (path, expected) in [
            ("/channels/a", channel("a")),
            ("/channels/chat/1", channel("chat/1")),
            ("/channels/chat%2F1", channel("chat/1")),
            ("/channels/a/", channel("a/")),
            ("/channels//a", channel("/a")),
            ("/channels/events", channel("events")),
            ("/channels/a/events", events("a")),
            ("/channels/chat/1/events", events("chat/1")),
            ("/channels/a%2Fevents", channel("a/events")),
            ("/channels/a%2fevents/events", events("a/events")),
            ("/channels/a/events/events", events("a/events")),
            ("/channels/a+b", channel("a+b")),
        ] {
            assert_eq!(parsed(path), expected, "{path}");
        }
        assert!(parsed("/channels/%ff").unwrap_err().contains("UTF-8"));
        assert!(parsed("/channels//events").unwrap_err().contains("empty"));
    }
}
