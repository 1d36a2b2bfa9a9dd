//! The application over a real socket, and its tickets at a real hub.

use std::net::SocketAddr;

use tidecast_test::{EventStream, HubProcess, Program, request};
use tokio::net::TcpListener;

use super::Settings;

const PUBLISH_KEY: &str = "the-publish-key-of-the-tests";
const TICKET_KEY: &str = "the-key-that-tickets-are-signed-with";

#[tokio::test]
async fn users_read_only_their_own_channel() {
    let hub = Program::BUILT.serve(&["--tickets", "--publish-key", PUBLISH_KEY, "--ticket-key", TICKET_KEY]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let application = listener.local_addr().unwrap();
    let settings = Settings { hub: hub.url(), key: TICKET_KEY.to_owned() };
    tokio::spawn(axum::serve(listener, super::app(settings)).into_future());

    let page = request(application, "GET", "/ada", &[], b"").await.text();
    assert!(page.contains("new EventSource("), "{page}");
    assert_eq!(request(application, "GET", "/eve/stream", &[], b"").await.head.status, 403);

    let ada = stream_target(application, "ada", &hub).await;
    let mut stream = EventStream::open(hub.address, &ada, &[]).await;
    stream.until_live().await;
    let key = format!("Bearer {PUBLISH_KEY}");
    let headers = [("Authorization", key.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
    let published = hub.request("POST", "/publish", &headers, b"channel=ada.inbox&data=hello").await;
    assert_eq!(published.head.status, 200, "{published:?}");
    assert_eq!(stream.message().await.data, "hello");

    let bob = stream_target(application, "bob", &hub).await;
    let others = bob.replace("bob.inbox", "ada.inbox");
    assert_eq!(hub.request("GET", &others, &[], b"").await.head.status, 403);
    assert_eq!(hub.request("GET", "/stream?channel=ada.inbox", &[], b"").await.head.status, 401);
}

/// Asks the application for a user's stream and returns the target of its URL.
async fn stream_target(application: SocketAddr, user: &str, hub: &HubProcess) -> String {
    let response = request(application, "GET", &format!("/{user}/stream"), &[], b"").await.json();
    let url = response["url"].as_str().expect("a URL");
    url.strip_prefix(&hub.url()).expect("a URL of the hub").to_owned()
}
