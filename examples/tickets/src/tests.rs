//! The application on a real socket, and its tickets shown to a real hub.

use std::{
    env,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::Settings;

const PUBLISH_KEY: &str = "the-publish-key-of-the-tests";
const TICKET_KEY: &str = "the-key-that-tickets-are-signed-with";

/// Far longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_user_reads_their_own_channel_and_no_other() {
    let hub = Hub::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let application = listener.local_addr().unwrap().to_string();
    let settings = Settings { hub: format!("http://{}", hub.address), key: TICKET_KEY.to_owned() };
    tokio::spawn(axum::serve(listener, super::app(settings)).into_future());

    let page = ask(&application, "GET /ada", "").await;
    assert!(page.contains("new EventSource("), "{page}");
    assert!(ask(&application, "GET /eve/stream", "").await.starts_with("HTTP/1.1 403 "));

    let ada = stream_of(&application, "ada", &hub).await;
    let mut stream = request(&hub.address, &format!("GET {ada}"), "").await;
    let head = read_until(&mut stream, "\nid: ").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");

    let published = ask(&hub.address, "POST /publish", "channel=ada.inbox&data=hello").await;
    assert!(published.starts_with("HTTP/1.1 200 "), "{published}");
    read_until(&mut stream, "data: hello\n").await;

    let bob = stream_of(&application, "bob", &hub).await;
    let others = bob.replace("bob.inbox", "ada.inbox");
    assert!(ask(&hub.address, &format!("GET {others}"), "").await.starts_with("HTTP/1.1 403 "));
    assert!(ask(&hub.address, "GET /stream?channel=ada.inbox", "").await.starts_with("HTTP/1.1 401 "));
}

/// Asks the application where the user's stream is; returns the part behind the hub's address.
async fn stream_of(application: &str, user: &str, hub: &Hub) -> String {
    let answer = ask(application, &format!("GET /{user}/stream"), "").await;
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    let body: Value = serde_json::from_str(body).expect("JSON");
    let url = body["url"].as_str().expect("an address");
    url.strip_prefix(&format!("http://{}", hub.address)).expect("it is the hub's").to_owned()
}

/// The hub's program, ended with the test.
struct Hub {
    child: Child,
    address: String,
}

impl Hub {
    fn start() -> Self {
        let program = program();
        let mut command = Command::new(&program);
        for (name, _) in env::vars_os() {
            let shown = name.to_string_lossy();
            if ["TIDECAST_", "SSE_REDIS_", "REDIS_URL"].iter().any(|start| shown.starts_with(start)) {
                command.env_remove(name);
            }
        }
        command.args(["serve", "--listen", "127.0.0.1:0", "--tickets"]);
        command.args(["--publish-key", PUBLISH_KEY, "--ticket-key", TICKET_KEY]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = child.unwrap_or_else(|error| {
            panic!("no hub at {} ({error}): run `cargo build --package tidecast-server`", program.display())
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("the hub says where it is");
        let address = line.split_once("http://").and_then(|(_, rest)| rest.split_once('/'));
        let address = address.map(|(address, _)| address.to_owned());
        let hub = Self { child, address: address.clone().unwrap_or_default() };
        assert!(address.is_some(), "the hub does not say where it is, but {line:?}");
        hub
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The hub that was built with this test: beside the folder of the test's own program, unless `TIDECAST_BIN` names one.
fn program() -> PathBuf {
    env::var_os("TIDECAST_BIN").map_or_else(
        || {
            let test = env::current_exe().expect("the path of this program");
            let folder = test.parent().and_then(|folder| folder.parent()).expect("a target folder");
            folder.join(format!("tidecast{}", env::consts::EXE_SUFFIX))
        },
        PathBuf::from,
    )
}

/// Sends a request with the publish key where it publishes, and returns the whole answer.
async fn ask(address: &str, line: &str, body: &str) -> String {
    let mut socket = request(address, line, body).await;
    let mut read = String::new();
    timeout(DEADLINE, socket.read_to_string(&mut read)).await.expect("an answer").unwrap();
    read
}

async fn request(address: &str, line: &str, body: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let mut head = format!("{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    if line.starts_with("POST") {
        let len = body.len();
        head += &format!("Authorization: Bearer {PUBLISH_KEY}\r\nContent-Length: {len}\r\n");
        head += "Content-Type: application/x-www-form-urlencoded\r\n";
    }
    socket.write_all((head + "\r\n" + body).as_bytes()).await.unwrap();
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
