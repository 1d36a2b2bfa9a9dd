//! An application whose users read a hub with tickets: the application grants access, the hub serves the streams.
//!
//! ```sh
//! export TIDECAST_PUBLISH_KEY=$(openssl rand -hex 32) TIDECAST_TICKET_KEY=$(openssl rand -hex 32)
//! cargo run -- serve --tickets &
//! cargo run --package tickets &
//! cargo run -- publish --channel ada.inbox "hello, Ada"
//! ```
//!
//! Open <http://127.0.0.1:8080/ada> before the last command: the page shows the message. The page at `/bob` does not,
//! and the hub refuses Ada's channel to Bob's ticket. The application has only the ticket key, so it cannot publish. It
//! serves no stream, so it can restart while pages listen.

mod ticket;

use std::{env, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::Html,
    routing::get,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, signal::ctrl_c};

use crate::ticket::ticket;

/// How long a ticket is valid: as long as a page may be cut off and reconnect by itself.
const LIFETIME: Duration = Duration::from_secs(4 * 60 * 60);

/// A real application knows its users by their session.
const USERS: [&str; 2] = ["ada", "bob"];

/// The hub's address for browsers, and the key that signs its tickets.
struct Settings {
    hub: String,
    key: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let hub = env::var("TIDECAST_HUB").unwrap_or_else(|_| "http://127.0.0.1:8000".to_owned());
    let key = env::var("TIDECAST_TICKET_KEY").map_err(|_| "set TIDECAST_TICKET_KEY to the ticket key of the hub")?;
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    println!("http://127.0.0.1:8080/ada");
    let stop = async { drop(ctrl_c().await) };
    Ok(axum::serve(listener, app(Settings { hub, key })).with_graceful_shutdown(stop).await?)
}

fn app(settings: Settings) -> Router {
    Router::new()
        .route("/{user}", get(Html(include_str!("index.html"))))
        .route("/{user}/stream", get(stream))
        .with_state(Arc::new(settings))
}

/// Returns the address of the user's stream. The page asks again when its ticket has expired.
async fn stream(
    State(settings): State<Arc<Settings>>,
    Path(user): Path<String>,
) -> Result<Json<Value>, (StatusCode, &'static str)> {
    if !USERS.contains(&user.as_str()) {
        return Err((StatusCode::FORBIDDEN, "no such user"));
    }
    let channel = format!("{user}.inbox");
    let ticket = ticket(&settings.key, &[&channel], LIFETIME);
    Ok(Json(json!({ "url": format!("{}/stream?channel={channel}&ticket={ticket}", settings.hub) })))
}

#[cfg(test)]
mod tests;
