//! The broker against the contract of all brokers, and two nodes on real sockets.

use std::{sync::Arc, time::Duration};

use tidecast::{broker::Broker, conformance};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::{broker::BusBroker, bus::Bus};

/// Far longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn it_keeps_the_contract() {
    let bus = Arc::new(Bus::default());
    let all = conformance::all(async || Arc::new(BusBroker::new(bus.clone())));
    timeout(DEADLINE, all).await.expect("no rule waits for ever");
    let nodes = [(); 3].map(|()| Arc::new(BusBroker::new(bus.clone())) as Arc<dyn Broker>);
    timeout(DEADLINE, conformance::control_messages_reach_every_node(nodes)).await.expect("every message arrives");
}

#[tokio::test]
async fn what_is_published_on_one_node_arrives_on_the_other_and_resumes_there() {
    let bus = Arc::new(Bus::default());
    let (here, there) = (serve(&bus).await, serve(&bus).await);

    let mut stream = request(&here, "GET /stream?channel=news", "").await;
    read_until(&mut stream, "\nid: ").await;
    let first = publish(&there, "one").await;
    read_until(&mut stream, &format!("data: one\nid: {first}\n")).await;
    drop(stream);

    publish(&here, "two").await;
    publish(&there, "three").await;
    let mut resumed = request(&there, &format!("GET /stream?channel=news&last_event_id={first}"), "").await;
    let read = read_until(&mut resumed, "data: three\n").await;
    assert!(read.contains("data: two\n") && !read.contains("data: one"), "{read}");
}

async fn serve(bus: &Arc<Bus>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(axum::serve(listener, super::app(super::node(bus))).into_future());
    address
}

/// Publishes, and returns the id of the event.
async fn publish(address: &str, data: &str) -> String {
    let mut socket = request(address, "POST /publish/news", data).await;
    let mut answer = String::new();
    timeout(DEADLINE, socket.read_to_string(&mut answer)).await.expect("an answer").unwrap();
    answer.lines().last().unwrap_or_default().to_owned()
}

async fn request(address: &str, line: &str, body: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let len = body.len();
    let head = format!("{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n");
    socket.write_all((head + body).as_bytes()).await.unwrap();
    socket
}

async fn read_until(socket: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&read).contains(end) {
            assert_ne!(socket.read_buf(&mut read).await.unwrap(), 0, "it ended before {end:?}");
        }
    };
    timeout(DEADLINE, reading).await.unwrap_or_else(|_| panic!("no {end:?}"));
    String::from_utf8(read).unwrap()
}
