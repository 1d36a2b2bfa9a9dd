//! A hub as it is usually written by hand: axum's `Sse` over a tokio broadcast channel for each name.
//!
//! It has no ids, no history and no resume: a client that is slow or loses its connection misses events. `TCP_NODELAY`,
//! which is often forgotten, is set for the best comparison.

#![expect(clippy::disallowed_types, reason = "the usual lock")]

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    extract::{Query, State},
    response::sse::{Event, KeepAlive, Sse},
    routing::{get, post},
    serve::ListenerExt,
};
use serde::Deserialize;
use tokio::{net::TcpListener, sync::broadcast};
use tokio_stream::{Stream, StreamExt, StreamMap, wrappers::BroadcastStream};

/// How many unread events a channel holds. A slower reader misses events silently.
const CAPACITY: usize = 256;

/// The channels by name.
#[derive(Debug, Clone, Default)]
struct Channels(Arc<Mutex<HashMap<String, broadcast::Sender<String>>>>);

#[derive(Debug, Deserialize)]
struct Publication {
    channel: String,
    data: String,
}

impl Channels {
    fn channel(&self, name: &str) -> broadcast::Sender<String> {
        let mut channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match channels.get(name) {
            Some(channel) => channel.clone(),
            None => channels.entry(name.to_owned()).or_insert_with(|| broadcast::channel(CAPACITY).0).clone(),
        }
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = Router::new().route("/stream", get(stream)).route("/publish", post(publish));
    let app = app.with_state(Channels::default());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}/", listener.local_addr()?);
    let listener = listener.tap_io(|socket| {
        let _ = socket.set_nodelay(true);
    });
    axum::serve(listener, app).await
}

async fn stream(
    State(channels): State<Channels>,
    Query(query): Query<Vec<(String, String)>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let names = query.iter().filter(|(key, _)| key == "channel").map(|(_, name)| name);
    let events: StreamMap<String, BroadcastStream<String>> =
        names.map(|name| (name.clone(), BroadcastStream::new(channels.channel(name).subscribe()))).collect();
    let events = events.filter_map(|(_, data)| data.ok().map(|data| Ok(Event::default().data(data))));
    Sse::new(events).keep_alive(KeepAlive::default())
}

async fn publish(State(channels): State<Channels>, Json(publication): Json<Publication>) -> &'static str {
    let _ = channels.channel(&publication.channel).send(publication.data);
    "sent"
}
