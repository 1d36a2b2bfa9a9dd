//! A hub that dies whenever a test wants it to: what a publisher must make of each kind of end.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::Stdio,
    sync::mpsc,
    thread,
};

use tidecast_test::{Finished, PATIENCE, Process};

use crate::TIDECAST;

/// What the hub does with a request.
#[derive(Clone, Copy)]
enum Act {
    /// Answers, with positions of this epoch.
    Answer(&'static str),
    /// Dies before it has asked for the body.
    DieBefore,
    /// Dies after it has read the body.
    DieAfter,
    /// Answers that it ends, with how many of the events it has taken.
    Refuse { taken: usize },
    /// Answers that its broker went away half-way.
    Doubt,
    /// Says what a proxy says that lost its hub.
    BadGateway,
}

const FIRST: &str = "00c0ffee0001";
const SECOND: &str = "00c0ffee0002";

/// Publishes two lines, each in a request of its own, to a hub that does this. Answers with the bodies it read, too.
fn publish(acts: &[Act]) -> (Finished, Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("it has an address"));
    let mut publisher = Process::start(
        TIDECAST.command(&["publish", "--url", &url, "--give-up-after", "5s", "-"]).stdin(Stdio::piped()),
    );
    let mut stdin = publisher.stdin();
    let (first_done, told) = mpsc::channel();
    let acts = acts.to_vec();
    let hub = thread::spawn(move || {
        let mut bodies = Vec::new();
        for act in acts {
            let (socket, _) = listener.accept().expect("the publisher comes");
            socket.set_read_timeout(Some(PATIENCE)).expect("a socket has a timeout");
            bodies.extend(serve(&socket, act));
            let _ = first_done.send(());
        }
        bodies
    });
    stdin.write_all(b"one\n").expect("publish reads");
    told.recv_timeout(PATIENCE).expect("the first request");
    stdin.write_all(b"two\n").expect("publish reads");
    drop(stdin);
    let end = publisher.finish();
    (end, hub.join().expect("the fake hub served all that came"))
}

/// Serves one request, and ends the connection. Answers with the body, if it was read.
fn serve(socket: &TcpStream, act: Act) -> Option<String> {
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
    if matches!(act, Act::DieBefore) {
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
    let answer = match act {
        Act::Answer(epoch) => ("200 OK", "application/json", format!("[{}]", places(events, epoch))),
        Act::Refuse { taken } => {
            let problem = format!(r#"{{"detail":"closed","published":[{}]}}"#, places(taken, FIRST));
            ("503 Service Unavailable", "application/problem+json", problem)
        }
        Act::Doubt => {
            let problem = r#"{"detail":"redis is away","index":0,"published":[],"in_doubt":true}"#.to_owned();
            ("503 Service Unavailable", "application/problem+json", problem)
        }
        Act::BadGateway => ("502 Bad Gateway", "text/html", "<h1>no hub</h1>".to_owned()),
        Act::DieBefore | Act::DieAfter => return Some(body),
    };
    let (status, content_type, text) = answer;
    let length = text.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n");
    writer.write_all(format!("{head}Connection: close\r\n\r\n{text}").as_bytes()).expect("the publisher reads");
    Some(body)
}

#[test]
fn a_hub_that_dies_before_it_read_a_request_leaves_nothing_in_doubt() {
    let (end, _) = publish(&[Act::Answer(FIRST), Act::DieBefore, Act::Answer(SECOND)]);
    assert_eq!(end.expect(0).stdout, "published 2 of 2 lines");
}

#[test]
fn a_hub_that_goes_on_remembers_what_it_took() {
    for act in [Act::DieAfter, Act::Doubt] {
        let (end, bodies) = publish(&[Act::Answer(FIRST), act, Act::Answer(FIRST)]);
        assert_eq!(end.expect(0).stdout, "published 2 of 2 lines");
        assert_eq!(bodies[1], bodies[2], "repeated under the same key");
    }
}

#[test]
fn another_hub_does_not_know_what_the_dead_one_took() {
    for act in [Act::DieAfter, Act::BadGateway, Act::Doubt] {
        let (end, _) = publish(&[Act::Answer(FIRST), act, Act::Answer(SECOND)]);
        assert_eq!(end.expect(2).stdout, "published 1 of 2 lines; 1 of unknown fate");
        assert!(end.stderr.contains("fate unknown of line 2:"), "{end:?}");
    }
}

#[test]
fn a_hub_that_refuses_as_it_ends_leaves_nothing_in_doubt() {
    let (end, _) = publish(&[Act::Answer(FIRST), Act::Refuse { taken: 0 }, Act::Answer(SECOND)]);
    assert_eq!(end.expect(0).stdout, "published 2 of 2 lines");
    let (end, bodies) = publish(&[Act::Answer(FIRST), Act::Refuse { taken: 1 }]);
    assert_eq!(end.expect(0).stdout, "published 2 of 2 lines");
    assert_eq!(bodies.len(), 2, "what it took is not sent again");
}

#[test]
fn who_gives_up_counts_what_was_not_sent_and_what_nobody_knows() {
    let (end, _) = publish(&[Act::Answer(FIRST), Act::DieBefore]);
    assert_eq!(end.expect(1).stdout, "published 1 of 2 lines; 1 not sent");
    assert!(end.stderr.contains("`tidecast serve`"), "{end:?}");
    let (end, _) = publish(&[Act::Answer(FIRST), Act::DieAfter]);
    assert_eq!(end.expect(2).stdout, "published 1 of 2 lines; 1 of unknown fate");
}
