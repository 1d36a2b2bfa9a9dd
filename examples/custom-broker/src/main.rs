//! A custom broker: two nodes that share their channels through a bus.
//!
//! ```sh
//! cargo run --package custom-broker
//! curl -N "http://127.0.0.1:8001/stream?channel=news"
//! curl -d "hello" http://127.0.0.1:8002/publish/news
//! ```
//!
//! Events that are published on one node reach the subscribers of both. Stop the first `curl`, publish twice, and
//! reconnect to the other port with the last `id:` as `&last_event_id=`: both events follow.
//!
//! `bus.rs` stands for a database or a message bus, `broker.rs` is the broker that uses it. The test runs the
//! conformance suite, which every broker should pass.

mod broker;
mod bus;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    routing::post,
};
use tidecast::{Event, Hub};
use tidecast_axum::{Problem, close_on};
use tokio::{net::TcpListener, signal::ctrl_c};

use crate::{broker::BusBroker, bus::Bus};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let bus = Arc::new(Bus::default());
    let serve = async |port: u16| {
        let hub = node(&bus);
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        println!("http://127.0.0.1:{port}");
        axum::serve(listener, app(hub.clone())).with_graceful_shutdown(close_on(hub, ctrl_c())).await
    };
    tokio::try_join!(serve(8001), serve(8002)).map(drop)
}

/// Returns a hub on the bus. In practice, each hub is in a separate process.
fn node(bus: &Arc<Bus>) -> Hub {
    Hub::builder().broker(Arc::new(BusBroker::new(bus.clone()))).build()
}

fn app(hub: Hub) -> Router {
    Router::new()
        .route("/publish/{channel}", post(publish))
        .with_state(hub.clone())
        .nest("/stream", tidecast_axum::router(hub))
}

async fn publish(State(hub): State<Hub>, Path(channel): Path<String>, data: String) -> Result<String, Problem> {
    let published = hub.publish(channel.as_str(), Event::text(data)).await?;
    Ok(format!("{}\n", published.id))
}

#[cfg(test)]
mod tests;
