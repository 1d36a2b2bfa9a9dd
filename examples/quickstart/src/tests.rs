//! The program over real sockets, as a browser uses it.

use tidecast::Hub;
use tidecast_axum::close_on;
use tidecast_test::{BROWSER_HEADERS, EventStream, request, within};
use tokio::{net::TcpListener, sync::oneshot};

#[tokio::test]
async fn a_page_receives_the_greeting() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let hub = Hub::new();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, super::app(hub.clone())).with_graceful_shutdown(close_on(hub, stopped));
    let server = tokio::spawn(server.into_future());

    let page = request(address, "GET", "/", &[], b"").await.text();
    assert!(page.contains(r#"new EventSource("/stream")"#), "{page}");

    let mut stream = EventStream::open(address, "/stream", BROWSER_HEADERS).await;
    stream.until_live().await;
    assert_eq!(request(address, "GET", "/hello", &[], b"").await.text(), "Message sent!");
    let greeting = stream.message().await;
    assert_eq!((&*greeting.event_type, &*greeting.data), ("greeting", r#"{"message":"Hello!"}"#));

    stop.send(()).unwrap();
    stream.rest().await;
    within("the end of the server", server).await.unwrap().unwrap();
}
