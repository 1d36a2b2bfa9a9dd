//! A chat with public and private messages.
//!
//! ```sh
//! cargo run --package chat
//! ```
//!
//! [`chat.py`](../chat.py) is the same on Flask, with the same page.
//!
//! Open <http://127.0.0.1:5000> in two tabs and join under two names. Send a private message: a third tab does not get
//! it. Close a tab: the others remove its name with the next message or join.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::Html,
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::json;
use tidecast::{Error, Event, FeedOptions, Publisher};
use tidecast_axum::{Problem, Sse};
use tokio::{net::TcpListener, signal::ctrl_c};

/// The properties of a subscriber.
struct User {
    name: String,
}

#[derive(Deserialize)]
struct Message {
    from: String,
    /// The name of the recipient; empty for a public message.
    #[serde(default)]
    to: String,
    text: String,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let publisher = Publisher::new();
    let listener = TcpListener::bind("127.0.0.1:5000").await?;
    println!("http://127.0.0.1:5000");
    let app = app(publisher.clone());
    // The server waits for streams, which never end by themselves.
    let stop = async move {
        let _ = ctrl_c().await;
        publisher.close_for_good();
    };
    axum::serve(listener, app).with_graceful_shutdown(stop).await
}

fn app(publisher: Publisher<User>) -> Router {
    Router::new()
        .route("/", get(Html(include_str!("index.html"))))
        .route("/subscribe/{name}", get(subscribe))
        .route("/publish", post(publish))
        .with_state(publisher)
}

/// Opens a user's stream. A real application authenticates the user.
async fn subscribe(State(publisher): State<Publisher<User>>, Path(name): Path<String>) -> Result<Sse, Problem> {
    let mut options = FeedOptions::default();
    options.initial = vec![Event::json(&json!({ "text": format!("Welcome, {name}!") }))?];
    let feed = publisher.subscribe(["chat"], User { name }, options)?;
    publisher.publish(["chat"], present_users(&publisher)?).await?;
    Ok(Sse::from(feed))
}

async fn publish(
    State(publisher): State<Publisher<User>>,
    Json(message): Json<Message>,
) -> Result<StatusCode, Problem> {
    let Message { from, to, text } = message;
    publisher.publish(["chat"], present_users(&publisher)?).await?;
    let event = Event::json(&json!({ "from": from, "to": to, "text": text }))?;
    if to.is_empty() {
        publisher.publish(["chat"], event).await?;
    } else if publisher.subscribers(["chat"])?.iter().any(|subscriber| subscriber.properties().name == to) {
        let event = event.with_type("private")?;
        let for_two = |user: &User| Ok::<_, Error>([&from, &to].contains(&&user.name).then(|| event.clone()));
        publisher.publish_with(["chat"], for_two).await?;
    } else {
        return Ok(StatusCode::NOT_FOUND);
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Returns an event with the names of all users in the chat.
fn present_users(publisher: &Publisher<User>) -> Result<Event, Error> {
    let subscribers = publisher.subscribers(["chat"])?;
    let mut names: Vec<_> = subscribers.iter().map(|subscriber| &subscriber.properties().name).collect();
    names.sort();
    names.dedup();
    Event::json(&names)?.with_type("here")
}

#[cfg(test)]
mod tests;
