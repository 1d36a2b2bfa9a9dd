//! The program on real sockets, as browsers meet it.

use std::time::Duration;

use tidecast::Publisher;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

#[tokio::test]
async fn what_is_said_reaches_all_and_what_is_whispered_two() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let publisher = Publisher::new();
    let closing = publisher.clone();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = axum::serve(listener, super::app(publisher.clone())).with_graceful_shutdown(async move {
        stopped.await.unwrap();
        closing.close_for_good();
    });
    let server = tokio::spawn(server.into_future());

    let mut page = request(&address, "GET /", "").await;
    assert!(read_until(&mut page, "</script>").await.contains(r#"new EventSource("/subscribe/""#));

    let mut ada = request(&address, "GET /subscribe/ada", "").await;
    read_until(&mut ada, "data: {\"text\":\"Welcome, ada!\"}\n\n").await;
    let mut bob = request(&address, "GET /subscribe/bob", "").await;
    read_until(&mut bob, "event: here\ndata: [\"ada\",\"bob\"]\n\n").await;
    let mut eve = request(&address, "GET /subscribe/eve", "").await;
    read_until(&mut ada, "event: here\ndata: [\"ada\",\"bob\",\"eve\"]\n\n").await;

    let whisper = r#"{"from":"ada","to":"bob","text":"a secret"}"#;
    assert!(say(&address, whisper).await.starts_with("HTTP/1.1 204 "));
    assert!(say(&address, r#"{"from":"bob","text":"hello, all"}"#).await.starts_with("HTTP/1.1 204 "));
    for whispered_to in [&mut ada, &mut bob] {
        let read = read_until(whispered_to, r#""text":"hello, all""#).await;
        assert!(
            read.contains("event: private\ndata: {\"from\":\"ada\",\"text\":\"a secret\",\"to\":\"bob\"}\n\n"),
            "{read}"
        );
    }
    let read = read_until(&mut eve, r#""text":"hello, all""#).await;
    assert!(!read.contains("secret"), "{read}");

    // Who has gone is not there any more, without having said goodbye.
    drop(eve);
    let gone = async {
        while publisher.subscribers(["chat"]).unwrap().len() > 2 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), gone).await.expect("its going is noticed");
    assert!(say(&address, r#"{"from":"ada","to":"eve","text":"?"}"#).await.starts_with("HTTP/1.1 404 "));

    drop(page);
    stop.send(()).unwrap();
    for stream in [&mut ada, &mut bob] {
        read_until(stream, "retry: ").await;
    }
    timeout(Duration::from_secs(10), server).await.expect("streams end with the publisher").unwrap().unwrap();
}

async fn say(address: &str, message: &str) -> String {
    let mut socket = request(address, "POST /publish", message).await;
    read_until(&mut socket, "\r\n\r\n").await
}

async fn request(address: &str, request: &str, body: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!("{request} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n");
    let request = format!("{head}Content-Length: {length}\r\n\r\n{body}");
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

async fn read_until(socket: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&read).contains(end) {
            assert_ne!(socket.read_buf(&mut read).await.unwrap(), 0, "it ended before {end:?}");
        }
    };
    timeout(Duration::from_secs(10), reading).await.unwrap_or_else(|_| panic!("no {end:?}"));
    String::from_utf8(read).unwrap()
}
