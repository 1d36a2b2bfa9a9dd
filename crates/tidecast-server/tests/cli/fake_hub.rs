//! A fake hub that dies or fails in the middle of a publish, and what the publisher makes of it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::Stdio,
    sync::mpsc,
    thread,
};

use tidecast_test::{Finished, PATIENCE, Process};

use crate::TIDECAST;

/// The hub's reaction to a request.
#[derive(Clone, Copy)]
enum Action {
    /// Accepts the events, with positions of this epoch.
    Answer(&'static str),
    /// Dies before it asks for the body.
    DieBefore,
    /// Dies after it has read the body.
    DieAfter,
    /// Refuses because it is stopping, after it has accepted this many events.
    Refuse { taken: usize },
    /// Fails because its broker became unavailable in the middle.
    Doubt,
    /// Responds as a proxy does that cannot reach the hub.
    BadGateway,
}

const FIRST: &str = "00c0ffee0001";
const SECOND: &str = "00c0ffee0002";

/// Publishes two lines in a request each to a hub that acts so. Returns how the command ended, and the bodies that the
/// hub read.
fn publish(actions: &[Action]) -> (Finished, Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("it has an address"));
    let mut publisher = Process::start(
        TIDECAST.command(&["publish", "--url", &url, "--give-up-after", "5s", "-"]).stdin(Stdio::piped()),
    );
    let mut stdin = publisher.stdin();
    let (first_done, received) = mpsc::channel();
    let actions = actions.to_vec();
    let hub = thread::spawn(move || {
        let mut bodies = Vec::new();
        for action in actions {
            let (socket, _) = listener.accept().expect("the publisher comes");
            socket.set_read_timeout(Some(PATIENCE)).expect("a socket has a timeout");
            bodies.extend(serve(&socket, action));
            let _ = first_done.send(());
        }
        bodies
    });
    stdin.write_all(b"one\n").expect("publish reads");
    received.recv_timeout(PATIENCE).expect("the first request");
    stdin.write_all(b"two\n").expect("publish reads");
    drop(stdin);
    let end = publisher.finish();
    (end, hub.join().expect("the fake hub served all that came"))
}

/// Serves one request and closes the connection. Returns the body if it was read.
fn serve(socket: &TcpStream, action: Action) -> Option<String> {
    let mut reader = BufReader::new(socket);
    let mut length = 0;
    let mut expects = false;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a head");
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        expects |= line == "expect: 100-continue";
        if line.is_empty() {
            break;
        }
    }
    assert!(expects, "a publish that may be repeated waits for the hub");
    if matches!(action, Action::DieBefore) {
        return None;
    }
    let mut writer = socket;
    writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").expect("the publisher reads");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    let body = String::from_utf8(body).expect("UTF-8");
    let places = |count: usize, epoch: &str| {
        let place = format!(r#"{{"channel":"sse","id":"{epoch}.1","position":"{epoch}.1","receivers":0}}"#);
        vec![place; count].join(",")
    };
    let events = body.matches("\"idempotency_key\"").count();
    let response = match action {
        Action::Answer(epoch) => ("200 OK", "application/json", format!("[{}]", places(events, epoch))),
        Action::Refuse { taken } => {
            let problem = format!(r#"{{"detail":"closed","published":[{}]}}"#, places(taken, FIRST));
            ("503 Service Unavailable", "application/problem+json", problem)
        }
        Action::Doubt => {
            let problem = r#"{"detail":"redis is away","index":0,"published":[],"in_doubt":true}"#.to_owned();
            ("503 Service Unavailable", "application/problem+json", problem)
        }
        Action::BadGateway => ("502 Bad Gateway", "text/html", "<h1>no hub</h1>".to_owned()),
        Action::DieBefore | Action::DieAfter => return Some(body),
    };
    let (status, content_type, text) = response;
    let length = text.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n");
    writer.write_all(format!("{head}Connection: close\r\n\r\n{text}").as_bytes()).expect("the publisher reads");
    Some(body)
}

#[test]
fn a_request_that_a_dying_hub_did_not_read_is_repeated() {
    let (end, _) = publish(&[Action::Answer(FIRST), Action::DieBefore, Action::Answer(SECOND)]);
    assert_eq!(end.expect(0).stdout, "published 2 of 2 lines");
}

#[test]
fn a_request_in_doubt_is_repeated_at_the_same_hub() {
    for action in [Action::DieAfter, Action::Doubt] {
        let (end, bodies) = publish(&[Action::Answer(FIRST), action, Action::Answer(FIRST)]);
        assert_eq!(end.expect(0).stdout, "published 2 of 2 lines");
        assert_eq!(bodies[1], bodies[2], "repeated under the same key");
    }
}

#[test]
fn a_request_in_doubt_is_not_repeated_at_another_hub() {
    for action in [Action::DieAfter, Action::BadGateway, Action::Doubt] {
        let (end, _) = publish(&[Action::Answer(FIRST), action, Action::Answer(SECOND)]);
        assert_eq!(end.expect(2).stdout, "published 1 of 2 lines; 1 of unknown fate");
        assert!(end.stderr.contains("fate unknown of line 2:"), "{end:?}");
    }
}

#[test]
fn a_refusal_of_a_stopping_hub_leaves_nothing_in_doubt() {
    let (end, _) = publish(&[Action::Answer(FIRST), Action::Refuse { taken: 0 }, Action::Answer(SECOND)]);
    assert_eq!(end.expect(0).stdout, "published 2 of 2 lines");
    let (end, bodies) = publish(&[Action::Answer(FIRST), Action::Refuse { taken: 1 }]);
    assert_eq!(end.expect(0).stdout, "published 2 of 2 lines");
    assert_eq!(bodies.len(), 2, "what it took is not sent again");
}

#[test]
fn a_publisher_that_gives_up_counts_unsent_lines_and_lines_in_doubt() {
    let (end, _) = publish(&[Action::Answer(FIRST), Action::DieBefore]);
    assert_eq!(end.expect(1).stdout, "published 1 of 2 lines; 1 not sent");
    assert!(end.stderr.contains("`tidecast serve`"), "{end:?}");
    let (end, _) = publish(&[Action::Answer(FIRST), Action::DieAfter]);
    assert_eq!(end.expect(2).stdout, "published 1 of 2 lines; 1 of unknown fate");
}
