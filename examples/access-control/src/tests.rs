//! The program on real sockets, as a browser meets it.

use std::time::Duration;

use tidecast::Hub;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

const ADMIN: &str = "Cookie: user=admin\r\n";

#[tokio::test]
async fn analytics_is_for_admins_and_the_rest_for_all() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(axum::serve(listener, super::app(Hub::new())).into_future());

    let mut login = request(&address, "POST /login", "").await;
    assert!(read_until(&mut login, "\r\n\r\n").await.contains("set-cookie: user=admin;"));

    for refused in ["GET /stream?channel=analytics", "GET /stream?channel=users.social&channel=analytics"] {
        let mut stream = request(&address, refused, "Cookie: user=guest\r\n").await;
        let answer = read_until(&mut stream, "is for admins").await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    }

    let mut everybody = request(&address, "GET /stream?channel=users.social", "").await;
    let mut admin = request(&address, "GET /stream?channel=analytics&channel=users.social", ADMIN).await;
    read_until(&mut everybody, "\nid: ").await;
    read_until(&mut admin, "\nid: ").await;
    let mut publish = request(&address, "POST /publish", "").await;
    assert!(read_until(&mut publish, "\r\n\r\n").await.starts_with("HTTP/1.1 204 "));
    read_until(&mut everybody, "data: {\"status\":\"Life is good!\"}\nid: ").await;
    read_until(&mut admin, "data: {\"active_users\":100}\nid: ").await;
}

async fn request(address: &str, request: &str, headers: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = format!("{request} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n{headers}\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
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
