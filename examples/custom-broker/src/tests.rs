//! The broker against the contract of all brokers, and two nodes over real sockets.

use std::{net::SocketAddr, sync::Arc};

use tidecast::conformance;
use tidecast_test::{EventStream, request, within};
use tokio::net::TcpListener;

use crate::{broker::BusBroker, bus::Bus};

#[tokio::test]
async fn the_broker_keeps_the_contract() {
    let bus = Arc::new(Bus::default());
    within("the conformance suite", conformance::all(async || Arc::new(BusBroker::new(bus.clone())))).await;
}

#[tokio::test]
async fn an_event_of_one_node_reaches_the_other_and_resumes_there() {
    let bus = Arc::new(Bus::default());
    let (here, there) = (serve(&bus).await, serve(&bus).await);

    let mut stream = EventStream::open(here, "/stream?channel=news", &[]).await;
    stream.until_live().await;
    let first = publish(there, "one").await;
    assert_eq!(stream.message().await.data, "one");
    assert_eq!(stream.last_event_id(), first);
    drop(stream);

    publish(here, "two").await;
    publish(there, "three").await;
    let mut resumed = EventStream::open(there, &format!("/stream?channel=news&last_event_id={first}"), &[]).await;
    assert_eq!(resumed.data_until("three").await.0, ["two", "three"]);
}

async fn serve(bus: &Arc<Bus>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, super::app(super::node(bus))).into_future());
    address
}

/// Publishes an event and returns its id.
async fn publish(address: SocketAddr, data: &str) -> String {
    request(address, "POST", "/publish/news", &[], data.as_bytes()).await.text().trim_end().to_owned()
}
