//! A hub works although its standard output or error is broken or full, and counts the lost lines in `/metrics`.

use std::{
    io::{PipeReader, PipeWriter, Write, pipe},
    net::SocketAddr,
    os::fd::AsFd,
    process::Stdio,
};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use tidecast_test::{HubProcess, Process, Signal, eventually, free_port, request};
use tokio::net::TcpStream;

use crate::{TIDECAST, support::sign_ticket};

const DROPPED: &str = "tidecast_log_lines_dropped_total";

/// Returns a pipe whose reader is closed.
fn broken_pipe() -> PipeWriter {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    writer
}

/// Returns a full pipe. The caller must keep its reader.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    while writer.write(&[b'x'; 4096]).is_ok() {}
    while writer.write(b"x").is_ok() {}
    fcntl_setfl(writer.as_fd(), flags).unwrap();
    (reader, writer)
}

/// Checks that the hub publishes and streams, with this number of requests that log a line.
async fn check_that_it_works(hub: &HubProcess, lines: usize) {
    let key = format!("Bearer {KEY}");
    let bearer = [("Authorization", key.as_str()), ("Content-Type", "text/plain")];
    let mut stream = hub.stream(&format!("/stream?ticket={}", sign_ticket(KEY, &["sse"], 60))).await;
    for number in 0..lines {
        hub.request("GET", "/stream?ticket=wrong", &[], b"").await.problem(401);
        if number % 100 == 0 {
            hub.signal(Signal::HUP);
            let response = hub.request("POST", "/publish", &bearer, number.to_string().as_bytes()).await;
            assert_eq!(response.head.status, 200);
            assert_eq!(stream.message().await.data, number.to_string());
        }
    }
    assert_eq!(hub.get("/readyz").await.head.status, 200);
}

/// A key of the minimum length for signing tickets.
const KEY: &str = "0123456789abcdef0123456789abcdef";

const ARGUMENTS: &[&str] = &["--publish-key", KEY, "--tickets", "--log", "debug"];

/// A line that could not be written caused a panic: at the start, in a task that was then gone, in a request that any
/// client can send, and at shutdown, where it cut all streams.
#[tokio::test]
async fn the_hub_works_with_a_broken_standard_error() {
    let mut hub = TIDECAST.serve_with(ARGUMENTS, |command| command.stderr(broken_pipe()));
    check_that_it_works(&hub, 10).await;
    eventually("dropped lines", async || hub.metric(DROPPED).await >= 10).await;
    assert_eq!(hub.metric("tidecast_tasks_restarted_total").await, 0);
    let mut stream = hub.stream(&format!("/stream?ticket={}", sign_ticket(KEY, &["sse"], 60))).await;
    hub.signal(Signal::TERM);
    assert!(!stream.rest().await.is_empty(), "its last block");
    assert_eq!(hub.ended().await.0.code(), Some(0));
}

/// The thread that logged a line wrote it. If standard error was a full pipe, which any client could bring about, that
/// blocked a worker or the accept loop.
#[tokio::test]
async fn the_hub_works_with_a_full_standard_error() {
    let (reader, writer) = full_pipe();
    let mut hub = TIDECAST.serve_with(ARGUMENTS, |command| command.stderr(writer));
    // More lines than the queue of the log holds.
    check_that_it_works(&hub, 1_300).await;
    assert!(hub.metric(DROPPED).await >= 200);
    let mut stream = hub.stream(&format!("/stream?ticket={}", sign_ticket(KEY, &["sse"], 60))).await;
    hub.signal(Signal::TERM);
    assert!(!stream.rest().await.is_empty(), "its last block");
    assert_eq!(hub.ended().await.0.code(), Some(0));
    drop(reader);
}

/// The hub must end because of an invalid configuration even if nobody reads its error.
#[tokio::test]
async fn a_hub_with_an_invalid_configuration_ends_although_nobody_reads_its_error() {
    let (reader, writer) = full_pipe();
    for stderr in [Stdio::from(broken_pipe()), Stdio::from(writer)] {
        Process::start(TIDECAST.serve_command(&["--retry", "25h"]).stderr(stderr)).finish().expect(64);
    }
    drop(reader);
}

/// A hub whose standard output nobody read did not start, as it blocked while it printed its address.
#[tokio::test]
async fn a_standard_output_that_nobody_reads_does_not_delay_the_start() {
    let (reader, writer) = full_pipe();
    for stdout in [Stdio::from(broken_pipe()), Stdio::from(writer)] {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let _hub = Process::start(TIDECAST.serve_command(&["--listen", &address.to_string()]).stdout(stdout));
        eventually("the hub listens", async || TcpStream::connect(address).await.is_ok()).await;
        assert_eq!(request(address, "GET", "/healthz", &[], b"").await.text(), "alive\n");
    }
    drop(reader);
}
