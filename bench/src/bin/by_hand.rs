//! A hub as most people would write it: axum's `Sse` over tokio's broadcast channel.
//!
//! It has one channel, and no ids, no history, no resume: who loses the connection, or is too slow, has missed what
//! came. `TCP_NODELAY` is set, which many forget, so that it is compared at its best.

use std::convert::Infallible;

use axum::{
    Router,
    extract::State,
    response::sse::{Event, KeepAlive, Sse},
    routing::{get, post},
    serve::ListenerExt,
};
use tokio::{net::TcpListener, sync::broadcast};
use tokio_stream::{Stream, StreamExt, wrappers::BroadcastStream};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let (events, _) = broadcast::channel::<String>(1024);
    let app = Router::new().route("/stream", get(stream)).route("/publish", post(publish)).with_state(events);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}/", listener.local_addr()?);
    let listener = listener.tap_io(|socket| {
        let _ = socket.set_nodelay(true);
    });
    axum::serve(listener, app).await
}

async fn stream(State(events): State<broadcast::Sender<String>>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let events = BroadcastStream::new(events.subscribe());
    let events = events.filter_map(|data| data.ok().map(|data| Ok(Event::default().data(data))));
    Sse::new(events).keep_alive(KeepAlive::default())
}

async fn publish(State(events): State<broadcast::Sender<String>>, data: String) -> &'static str {
    let _ = events.send(data);
    "sent"
}
