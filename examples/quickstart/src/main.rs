//! Flask-SSE's quickstart, on axum.
//!
//! ```sh
//! cargo run --package quickstart
//! ```
//!
//! Open <http://127.0.0.1:8000> in a browser, and <http://127.0.0.1:8000/hello> in another tab: the first tab shows an
//! alert. Stop the program and start it again: the page reconnects by itself, and the next `/hello` alerts as before.

use axum::{Router, extract::State, response::Html, routing::get};
use serde_json::json;
use tidecast::{Event, Hub};
use tidecast_axum::{Problem, close_on};
use tokio::{net::TcpListener, signal::ctrl_c};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let hub = Hub::new();
    let listener = TcpListener::bind("127.0.0.1:8000").await?;
    println!("http://127.0.0.1:8000");
    axum::serve(listener, app(hub.clone())).with_graceful_shutdown(close_on(hub, ctrl_c())).await
}

fn app(hub: Hub) -> Router {
    Router::new()
        .route("/", get(Html(include_str!("index.html"))))
        .route("/hello", get(hello))
        .with_state(hub.clone())
        .nest("/stream", tidecast_axum::router(hub))
}

async fn hello(State(hub): State<Hub>) -> Result<&'static str, Problem> {
    let greeting = Event::json(&json!({"message": "Hello!"}))?.with_type("greeting")?;
    hub.publish("sse", greeting).await?;
    Ok("Message sent!")
}

#[cfg(test)]
mod tests;
