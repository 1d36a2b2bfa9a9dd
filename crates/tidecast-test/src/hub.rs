//! A hub as a process of its own, ended when it is dropped.

use std::{
    fs,
    net::SocketAddr,
    process::{Command, ExitStatus},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    BROWSER_HEADERS, EventSource, EventStream, Finished, HttpConnection, HttpResponse, Process, Signal, eventually,
    request, wait_for,
};

/// A running hub, made by [`Program::serve`](crate::Program::serve).
#[derive(Debug)]
pub struct HubProcess {
    process: Process,
    /// Where it listens.
    pub address: SocketAddr,
    publish_key: Option<String>,
}

impl HubProcess {
    /// Starts a hub and waits until it listens. Its publish key is sent by [`get`](Self::get).
    pub(crate) fn start(command: &mut Command, publish_key: Option<&str>) -> Self {
        let mut process = Process::start(command);
        let address = wait_for("line with the hub's address", || {
            let has_ended = process.try_wait().is_some();
            match process.stdout().split_once('\n') {
                Some((line, _)) => Some(address_in(line).unwrap_or_else(|| panic!("no address in {line:?}"))),
                None => {
                    assert!(!has_ended, "the hub ended without listening");
                    None
                }
            }
        });
        Self { process, address, publish_key: publish_key.map(str::to_owned) }
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Returns the complete lines of standard output so far.
    pub fn stdout(&self) -> String {
        self.process.stdout()
    }

    /// Returns the complete lines of standard error so far.
    pub fn stderr(&self) -> String {
        self.process.stderr()
    }

    /// Returns the hub's URL, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sends a request on a new connection and reads the response.
    pub async fn request(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> HttpResponse {
        request(self.address, method, target, headers, body).await
    }

    /// Sends bytes on a new connection and reads the response as that to a request of this method.
    pub async fn send_raw(&self, bytes: &[u8], method: &str) -> HttpResponse {
        let mut connection = HttpConnection::open(self.address).await;
        connection.send(bytes).await;
        connection.response(method).await
    }

    /// Sends a GET request, with the publish key if the hub has one.
    pub async fn get(&self, target: &str) -> HttpResponse {
        let authorization = self.publish_key.as_ref().map(|key| format!("Bearer {key}"));
        let headers: Vec<_> = authorization.iter().map(|value| ("Authorization", value.as_str())).collect();
        self.request("GET", target, &headers, b"").await
    }

    /// Publishes an event or an array of events in JSON, and returns the hub's response to it.
    pub async fn publish(&self, body: &str) -> Value {
        let headers = [("Content-Type", "application/json")];
        let response = self.request("POST", "/publish", &headers, body.as_bytes()).await;
        assert_eq!(response.head.status, 200, "{body}: {response:?}");
        response.json()
    }

    /// Opens a stream as a browser does.
    pub async fn stream(&self, target: &str) -> EventStream {
        EventStream::open(self.address, target, BROWSER_HEADERS).await
    }

    /// Returns an `EventSource` that is not connected yet.
    pub fn source(&self, target: &str) -> EventSource {
        EventSource::new(self.address, target)
    }

    /// Returns a number of `/metrics`, whose name includes its labels.
    pub async fn metric(&self, name: &str) -> u64 {
        let scrape = self.get("/metrics").await.text();
        let line = scrape.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = line.unwrap_or_else(|| panic!("no {name} in {scrape}"));
        value.parse().unwrap_or_else(|_| panic!("{name} is {value}"))
    }

    /// Waits until a number of `/metrics` has this value.
    pub async fn until_metric(&self, name: &str, expected: u64) {
        eventually(&format!("{name} = {expected}"), async || self.metric(name).await == expected).await;
    }

    /// Returns the resident memory of the process, as Linux counts it.
    pub fn resident_bytes(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the hub is running on Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line VmRSS");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number of KiB") * 1024
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for the end of the process, blocking the thread.
    pub fn finish(self) -> Finished {
        self.process.finish()
    }

    /// Waits for the end of the process. Returns how it ended and how long that took.
    pub async fn ended(&mut self) -> (ExitStatus, Duration) {
        let begin = Instant::now();
        let mut status = None;
        eventually("the end of the hub", async || {
            status = self.process.try_wait();
            status.is_some()
        })
        .await;
        (status.expect("it has ended"), begin.elapsed())
    }
}

/// Returns the address in the hub's first line, which has it as `http://ADDRESS/`.
fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("http://")?;
    rest.split_once('/')?.0.parse().ok()
}
