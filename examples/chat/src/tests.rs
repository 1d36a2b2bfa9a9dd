//! The program over real sockets, as browsers use it.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tidecast::{Publisher, wire::Message};
use tidecast_test::{EventStream, eventually, request, within};
use tokio::{net::TcpListener, sync::oneshot};

#[tokio::test]
async fn public_messages_reach_all_users_and_private_ones_two() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let publisher = Publisher::new();
    let closing = publisher.clone();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, super::app(publisher.clone())).with_graceful_shutdown(async move {
        stopped.await.unwrap();
        closing.close_for_good();
    });
    let server = tokio::spawn(server.into_future());

    let page = request(address, "GET", "/", &[], b"").await.text();
    assert!(page.contains(r#"new EventSource("/subscribe/""#), "{page}");

    let mut ada = join(address, "ada").await;
    assert_eq!(json_of(&ada.message().await), json!({"text": "Welcome, ada!"}));
    let mut bob = join(address, "bob").await;
    until_present(&mut bob, &["ada", "bob"]).await;
    let mut eve = join(address, "eve").await;
    until_present(&mut ada, &["ada", "bob", "eve"]).await;

    let private = json!({"from": "ada", "to": "bob", "text": "a secret"});
    let public = json!({"from": "bob", "to": "", "text": "hello, all"});
    assert_eq!(send(address, &private).await, 204);
    assert_eq!(send(address, &public).await, 204);
    for recipient in [&mut ada, &mut bob] {
        let messages = messages_until(recipient, &public).await;
        assert!(messages.iter().any(|message| message.event_type == "private" && json_of(message) == private));
    }
    let messages = messages_until(&mut eve, &public).await;
    assert!(!messages.iter().any(|message| message.data.contains("secret")), "{messages:?}");

    // A closed connection is noticed although its page did not say goodbye.
    drop(eve);
    eventually("eve has left", async || publisher.subscribers(["chat"]).unwrap().len() == 2).await;
    assert_eq!(send(address, &json!({"from": "ada", "to": "eve", "text": "?"})).await, 404);

    stop.send(()).unwrap();
    ada.rest().await;
    bob.rest().await;
    within("the end of the server", server).await.unwrap().unwrap();
}

async fn join(address: SocketAddr, name: &str) -> EventStream {
    EventStream::open(address, &format!("/subscribe/{name}"), &[]).await
}

/// Sends a message and returns the status.
async fn send(address: SocketAddr, message: &Value) -> u16 {
    let headers = [("Content-Type", "application/json")];
    request(address, "POST", "/publish", &headers, message.to_string().as_bytes()).await.head.status
}

async fn until_present(stream: &mut EventStream, names: &[&str]) {
    messages_until(stream, &json!(names)).await;
}

/// Reads until a message has these data, and returns all messages.
async fn messages_until(stream: &mut EventStream, data: &Value) -> Vec<Message> {
    let mut messages = Vec::new();
    while messages.last().is_none_or(|last| json_of(last) != *data) {
        messages.push(stream.message().await);
    }
    messages
}

fn json_of(message: &Message) -> Value {
    serde_json::from_str(&message.data).unwrap()
}
