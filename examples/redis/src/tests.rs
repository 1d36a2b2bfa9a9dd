//! Two programs on a real Redis, which the test starts.

use std::time::Duration;

use tidecast::Hub;
use tidecast_test::redis::server::Server;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// Far longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn what_one_page_says_both_show() {
    let redis = Server::start(&[]);
    let (here, there) = (serve(&redis).await, serve(&redis).await);

    let mut page = request(&here, "GET /", "").await;
    assert!(read_until(&mut page, &["</script>"]).await.contains(r#"new EventSource("/stream?channel=messages")"#));

    let mut streams = [stream(&here, "").await, stream(&there, "").await];
    assert!(ask(&there, "POST /say", "hello").await.starts_with("HTTP/1.1 204 "));
    let mut last = String::new();
    for stream in &mut streams {
        // The id is the last line of an event.
        let read = read_until(stream, &["data: hello\n", "\n\n"]).await;
        let id = read.lines().rev().find_map(|line| line.strip_prefix("id: "));
        last = id.unwrap_or_else(|| panic!("no id in {read}")).to_owned();
    }

    // The page of one program goes on at the other.
    drop(streams);
    assert!(ask(&here, "POST /say", "again").await.starts_with("HTTP/1.1 204 "));
    let mut resumed = stream(&there, &format!("&last_event_id={last}")).await;
    assert!(!read_until(&mut resumed, &["data: again\n"]).await.contains("data: hello"));
}

#[tokio::test]
async fn without_redis_a_program_says_so() {
    let mut redis = Server::start(&[]);
    let address = serve(&redis).await;
    redis.kill();
    assert!(ask(&address, "POST /say", "hello").await.starts_with("HTTP/1.1 503 "));
    redis.run();
    let ready = async { while !ask(&address, "GET /ready", "").await.starts_with("HTTP/1.1 200 ") {} };
    timeout(DEADLINE, ready).await.expect("it finds the new Redis");
}

/// Starts a program on a free port, and waits until it has found Redis.
async fn serve(redis: &Server) -> String {
    let hub: Hub = super::hub(&redis.url()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(axum::serve(listener, super::app(hub)).into_future());
    assert!(ask(&address, "GET /ready", "").await.starts_with("HTTP/1.1 200 "));
    address
}

/// Opens a stream, and waits until it misses nothing any more.
async fn stream(address: &str, query: &str) -> TcpStream {
    let mut stream = request(address, &format!("GET /stream?channel=messages{query}"), "").await;
    read_until(&mut stream, &["\nid: "]).await;
    stream
}

/// Sends a request, and returns the whole answer.
async fn ask(address: &str, line: &str, body: &str) -> String {
    let mut socket = request(address, line, body).await;
    let mut read = String::new();
    timeout(DEADLINE, socket.read_to_string(&mut read)).await.expect("an answer").unwrap();
    read
}

async fn request(address: &str, line: &str, body: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let len = body.len();
    let head = format!("{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n");
    socket.write_all((head + body).as_bytes()).await.unwrap();
    socket
}

/// Reads until these texts have come, one behind the other.
async fn read_until(socket: &mut TcpStream, texts: &[&str]) -> String {
    let mut read = Vec::new();
    let have_come = |read: &[u8]| {
        let read = String::from_utf8_lossy(read);
        texts.iter().try_fold(&*read, |rest, text| rest.split_once(text).map(|(_, rest)| rest)).is_some()
    };
    let reading = async {
        while !have_come(&read) {
            assert_ne!(socket.read_buf(&mut read).await.unwrap(), 0, "it ended before {texts:?}");
        }
    };
    timeout(DEADLINE, reading).await.unwrap_or_else(|_| panic!("no {texts:?}"));
    String::from_utf8(read).unwrap()
}
