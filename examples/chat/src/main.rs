//! A chat: what is said goes to everybody, what is whispered to one.
//!
//! ```sh
//! cargo run --package chat
//! ```
//!
//! [`chat.py`](../chat.py) is the same on Flask, with the same page.
//!
//! Open <http://127.0.0.1:5000> in two tabs and join under two names. Choose whom a message is for: a third tab does not
//! get what is whispered. Close a tab: its name is gone from the others when somebody joins or speaks next.

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

/// What is known about each who listens.
struct User {
    name: String,
}

#[derive(Deserialize)]
struct Message {
    from: String,
    /// Whom it is for; nobody is everybody.
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
    // Streams have no end of their own, and the server waits for them.
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

/// A real application asks who it is, rather than believe a name.
async fn subscribe(State(publisher): State<Publisher<User>>, Path(name): Path<String>) -> Result<Sse, Problem> {
    let initial = vec![Event::json(&json!({ "text": format!("Welcome, {name}!") }))?];
    let feed = publisher.subscribe(["chat"], User { name }, FeedOptions { initial, ..FeedOptions::default() })?;
    publisher.publish(["chat"], who_is_here(&publisher)?).await?;
    Ok(Sse::from(feed))
}

async fn publish(
    State(publisher): State<Publisher<User>>,
    Json(message): Json<Message>,
) -> Result<StatusCode, Problem> {
    let Message { from, to, text } = message;
    publisher.publish(["chat"], who_is_here(&publisher)?).await?;
    let said = Event::json(&json!({ "from": from, "to": to, "text": text }))?;
    if to.is_empty() {
        publisher.publish(["chat"], said).await?;
    } else if publisher.subscribers(["chat"])?.iter().any(|subscriber| subscriber.properties().name == to) {
        let said = said.with_type("private")?;
        let for_two = |user: &User| Ok::<_, Error>([&from, &to].contains(&&user.name).then(|| said.clone()));
        publisher.publish_with(["chat"], for_two).await?;
    } else {
        return Ok(StatusCode::NOT_FOUND);
    }
    Ok(StatusCode::NO_CONTENT)
}

fn who_is_here(publisher: &Publisher<User>) -> Result<Event, Error> {
    let here = publisher.subscribers(["chat"])?;
    let mut names: Vec<_> = here.iter().map(|subscriber| &subscriber.properties().name).collect();
    names.sort();
    names.dedup();
    Event::json(&names)?.with_type("here")
}

#[cfg(test)]
mod tests;
