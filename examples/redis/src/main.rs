//! Programs that share their channels through Redis: start as many as you like, on one machine or on several.
//!
//! ```sh
//! PORT=8001 cargo run --package redis-nodes
//! PORT=8002 cargo run --package redis-nodes
//! ```
//!
//! `REDIS_URL` is the address of Redis; the default is `redis://127.0.0.1:6379/0`. Open <http://127.0.0.1:8001> and
//! <http://127.0.0.1:8002>: both pages show every message. Stop a program and start it again: its page receives the
//! messages that it missed. Flask programs with Flask-SSE take part if they use the same Redis.

use std::{env, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::Html,
    routing::{get, post},
};
use tidecast::{Event, Hub};
use tidecast_axum::{Problem, close_on};
use tidecast_redis::{RedisBroker, RedisConfig};
use tokio::{net::TcpListener, signal::ctrl_c};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379/0".to_owned());
    let port = env::var("PORT").map_or(Ok(8000), |port| port.parse())?;
    let hub = hub(&url)?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("http://127.0.0.1:{port}");
    Ok(axum::serve(listener, app(hub.clone())).with_graceful_shutdown(close_on(hub, ctrl_c())).await?)
}

/// Returns a hub that carries its events over Redis. It does not wait for Redis, which may be down at first.
fn hub(url: &str) -> Result<Hub, tidecast::Error> {
    let broker = RedisBroker::new(RedisConfig::from_url(url)?)?;
    Ok(Hub::builder().broker(Arc::new(broker)).build())
}

fn app(hub: Hub) -> Router {
    Router::new()
        .route("/", get(Html(include_str!("index.html"))))
        .route("/say", post(say))
        .route("/ready", get(ready))
        .with_state(hub.clone())
        .nest("/stream", tidecast_axum::router(hub))
}

/// Publishes a message. While Redis is down, this returns 503 with the reason.
async fn say(State(hub): State<Hub>, text: String) -> Result<StatusCode, Problem> {
    hub.publish("messages", Event::text(text)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Returns whether this program can publish, for a load balancer.
async fn ready(State(hub): State<Hub>) -> Result<&'static str, Problem> {
    hub.ready().await?;
    Ok("ready")
}

#[cfg(test)]
mod tests;
