//! The program on real sockets, as a browser meets it.

use std::time::Duration;

use tidecast::Hub;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

#[tokio::test]
async fn hello_reaches_the_page_that_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let hub = Hub::new();
    let closing = hub.clone();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = axum::serve(listener, super::app(hub)).with_graceful_shutdown(async move {
        stopped.await.unwrap();
        closing.close();
    });
    let server = tokio::spawn(server.into_future());

    let mut page = get(&address, "/").await;
    assert!(read_until(&mut page, "</script>").await.contains(r#"new EventSource("/stream")"#));

    let mut stream = get(&address, "/stream").await;
    read_until(&mut stream, "\nid: ").await;
    let mut hello = get(&address, "/hello").await;
    read_until(&mut hello, "Message sent!").await;
    let event = read_until(&mut stream, "data: {\"message\":\"Hello!\"}\nid: ").await;
    assert!(event.contains("\nevent: greeting\n"), "{event}");

    drop((page, hello));
    stop.send(()).unwrap();
    read_until(&mut stream, "retry: ").await;
    timeout(Duration::from_secs(10), server).await.expect("streams end with the hub").unwrap().unwrap();
}

async fn get(address: &str, path: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
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
