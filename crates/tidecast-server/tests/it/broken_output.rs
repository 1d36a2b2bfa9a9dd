//! A hub whose standard error, or standard output, is broken or full: it works, and says in `/metrics` what it could not.

use std::{
    io::{PipeReader, PipeWriter, Write, pipe},
    os::fd::AsFd,
    process::Stdio,
};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use tidecast_test::{HubProcess, Signal, eventually};

use crate::{TIDECAST, support::ticket};

const DROPPED: &str = "tidecast_log_lines_dropped_total";

/// A pipe that nobody reads any more.
fn broken() -> PipeWriter {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    writer
}

/// A pipe that nobody reads, and that is full. Its reader is to be kept.
fn full() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    while writer.write(&[b'x'; 4096]).is_ok() {}
    while writer.write(b"x").is_ok() {}
    fcntl_setfl(writer.as_fd(), flags).unwrap();
    (reader, writer)
}

/// Publishes, reads a stream, and has a line logged for as many requests as said.
async fn works(hub: &HubProcess, lines: usize) {
    let key = format!("Bearer {KEY}");
    let bearer = [("Authorization", key.as_str()), ("Content-Type", "text/plain")];
    let mut stream = hub.stream(&format!("/stream?ticket={}", ticket(KEY, &["sse"], 60))).await;
    for number in 0..lines {
        hub.request("GET", "/stream?ticket=wrong", &[], b"").await.problem(401);
        if number % 100 == 0 {
            hub.signal(Signal::HUP);
            let answer = hub.request("POST", "/publish", &bearer, number.to_string().as_bytes()).await;
            assert_eq!(answer.head.status, 200);
            assert_eq!(stream.message().await.data, number.to_string());
        }
    }
    assert_eq!(hub.get("/readyz").await.head.status, 200);
}

/// As long as what signs tickets must be.
const KEY: &str = "0123456789abcdef0123456789abcdef";

const ARGUMENTS: &[&str] = &["--publish-key", KEY, "--tickets", "--log", "debug"];

/// A line that could not be written was a panic: at the start, of a task that then was away for good, of a request that any
/// client can send, and at the end, which cut all streams.
#[tokio::test]
async fn a_broken_standard_error_breaks_nothing() {
    let mut hub = TIDECAST.serve_with(ARGUMENTS, |command| command.stderr(broken()));
    works(&hub, 10).await;
    eventually("dropped lines", async || hub.metric(DROPPED).await >= 10).await;
    assert_eq!(hub.metric("tidecast_tasks_restarted_total").await, 0);
    let mut stream = hub.stream(&format!("/stream?ticket={}", ticket(KEY, &["sse"], 60))).await;
    hub.signal(Signal::TERM);
    assert!(!stream.rest().await.is_empty(), "its last block");
    assert_eq!(hub.ended().await.0.code(), Some(0));
}

/// A line was written by the thread that logged it. Where standard error is a pipe that is full, which any client could see
/// to, that stopped a worker, or accepting.
#[tokio::test]
async fn a_full_standard_error_stops_nothing() {
    let (reader, writer) = full();
    let mut hub = TIDECAST.serve_with(ARGUMENTS, |command| command.stderr(writer));
    // More than may wait to be written.
    works(&hub, 1_300).await;
    assert!(hub.metric(DROPPED).await >= 200);
    let mut stream = hub.stream(&format!("/stream?ticket={}", ticket(KEY, &["sse"], 60))).await;
    hub.signal(Signal::TERM);
    assert!(!stream.rest().await.is_empty(), "its last block");
    assert_eq!(hub.ended().await.0.code(), Some(0));
    drop(reader);
}

/// A mistake in the configuration is told to nobody, and still is the end.
#[tokio::test]
async fn a_hub_that_can_not_start_ends_though_nobody_reads_why() {
    let (reader, writer) = full();
    for stderr in [Stdio::from(broken()), Stdio::from(writer)] {
        let mut child = TIDECAST.serve_command(&["--retry", "25h"]).stderr(stderr).spawn().unwrap();
        let mut status = None;
        eventually("the end", async || {
            status = child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        assert_eq!(status.unwrap().code(), Some(64));
    }
    drop(reader);
}

/// What a hub says of itself at its start kept it from starting where nobody took it.
#[tokio::test]
async fn a_standard_output_that_nobody_reads_does_not_hold_up_the_start() {
    let (reader, writer) = full();
    for stdout in [Stdio::from(broken()), Stdio::from(writer)] {
        let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = probe.local_addr().unwrap();
        drop(probe);
        let mut child = TIDECAST.serve_command(&["--listen", &address.to_string()]).stdout(stdout).spawn().unwrap();
        eventually("an answer", async || tokio::net::TcpStream::connect(address).await.is_ok()).await;
        let answer = {
            let mut connection = tidecast_test::HttpConnection::open(address).await;
            connection.send(&tidecast_test::request_bytes(address, "GET", "/healthz", &[], b"")).await;
            connection.response("GET").await
        };
        assert_eq!(answer.text(), "alive\n");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    drop(reader);
}
