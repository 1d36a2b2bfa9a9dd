//! Access control: every user may read `users.social`, only admins may read `analytics`.
//!
//! ```sh
//! cargo run --package access-control
//! ```
//!
//! Open <http://127.0.0.1:8000> and publish: the page shows the event of `users.social`, and that `analytics` was
//! refused. Log in, and it shows both.

use std::time::Duration;

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Redirect},
    routing::{get, post},
};
use serde_json::json;
use tidecast::{Event, Hub};
use tidecast_axum::{Problem, StreamRequest, Streams, close_on, with_shutdown_timeout};
use tokio::{net::TcpListener, signal::ctrl_c};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let hub = Hub::new();
    let listener = TcpListener::bind("127.0.0.1:8000").await?;
    println!("http://127.0.0.1:8000");
    let server = axum::serve(listener, app(hub.clone())).with_graceful_shutdown(close_on(hub.clone(), ctrl_c()));
    // A page that reads nothing must not delay the end.
    with_shutdown_timeout(&hub, Duration::from_secs(5), server).await
}

fn app(hub: Hub) -> Router {
    let streams = Streams::new(hub.clone()).authorize(check_access);
    Router::new()
        .route("/", get(Html(include_str!("index.html"))))
        .route("/login", post(login))
        .route("/publish", post(publish))
        .with_state(hub)
        .nest("/stream", streams.into_router())
}

/// Refuses `analytics` to users who are not admins. Runs before each stream begins; its error is the response.
///
/// A stream may be of several channels; check all of them.
async fn check_access(request: StreamRequest) -> Result<(), Problem> {
    if request.asks_for("analytics") && !is_admin(&request.parts.headers) {
        return Err(Problem::new(StatusCode::FORBIDDEN, "`analytics` is for admins"));
    }
    Ok(())
}

/// Returns whether the request is of an admin.
///
/// An `EventSource` sends cookies, but none of your own headers. A real application signs the cookie, or keeps
/// sessions.
fn is_admin(headers: &HeaderMap) -> bool {
    let cookies = headers.get(header::COOKIE).and_then(|cookies| cookies.to_str().ok()).unwrap_or_default();
    cookies.split("; ").any(|cookie| cookie == "user=admin")
}

async fn login() -> impl IntoResponse {
    ([(header::SET_COOKIE, "user=admin; HttpOnly; SameSite=Lax")], Redirect::to("/"))
}

async fn publish(State(hub): State<Hub>) -> Result<StatusCode, Problem> {
    hub.publish("users.social", Event::json(&json!({"status": "Life is good!"}))?).await?;
    hub.publish("analytics", Event::json(&json!({"active_users": 100}))?).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests;
