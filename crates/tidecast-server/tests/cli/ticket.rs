//! `ticket`, and the other commands on a hub that requires tickets.

use std::io::{Read, Write};
use std::net::TcpStream;

use tidecast_test::{Process, wait_for};

use crate::TIDECAST;

const KEY: &str = "s3cret!-of-thirty-two-bytes-or-more";

/// Requests an address and returns the beginning of the status line.
fn status(address: &str) -> String {
    let (host, path) = address.strip_prefix("http://").and_then(|rest| rest.split_once('/')).expect("an address");
    let mut socket = TcpStream::connect(host).expect("the hub listens");
    write!(socket, "GET /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n").expect("the hub reads");
    let mut first = [0; 12];
    socket.read_exact(&mut first).expect("the hub answers");
    String::from_utf8(first.to_vec()).expect("a status line")
}

#[test]
fn a_ticket_permits_its_channels_and_its_url_is_complete() {
    let hub = TIDECAST.serve(&["--publish-key", KEY, "--tickets"]);
    let url = hub.url();
    let sign = |more: &[&str]| {
        let end = Process::start(TIDECAST.command(&["ticket"]).args(more).env("TIDECAST_PUBLISH_KEY", KEY)).finish();
        end.expect(0).stdout.clone()
    };
    let address = sign(&["--channel", "a b", "--channel", "c", "--for", "1h", "--url", &format!("{url}/")]);
    assert!(address.starts_with(&format!("{url}/stream?channel=a%20b&channel=c&ticket=eyJ")), "{address}");
    assert_eq!(status(&address), "HTTP/1.1 200");
    assert_eq!(status(&address.replace("channel=c", "channel=d")), "HTTP/1.1 403");
    let ticket = sign(&[]);
    assert_eq!(status(&format!("{url}/stream?ticket={ticket}")), "HTTP/1.1 200");
    assert_eq!(status(&format!("{url}/stream")), "HTTP/1.1 401");
}

/// A program that signs tickets needed the publish key.
#[test]
fn a_separate_key_signs_tickets() {
    let ticket_key = "a-key-for-tickets-and-nothing-else";
    let hub = TIDECAST.serve(&["--publish-key", KEY, "--ticket-key", ticket_key, "--tickets"]);
    let address = |variables: &[(&str, &str)]| {
        let mut command = TIDECAST.command(&["ticket", "--url", &hub.url()]);
        Process::start(command.envs(variables.iter().copied())).finish().expect(0).stdout.clone()
    };
    let both = [("TIDECAST_PUBLISH_KEY", KEY), ("TIDECAST_TICKET_KEY", ticket_key)];
    assert_eq!(status(&address(&both)), "HTTP/1.1 200");
    assert_eq!(status(&address(&both[..1])), "HTTP/1.1 401");
    let refused = TIDECAST.run(&["publish", "--url", &hub.url(), "--publish-key", ticket_key, "x"]);
    assert!(refused.expect(1).stderr.contains("the publish key is wrong"), "{refused:?}");
}

#[test]
fn tail_accepts_the_key_or_a_ticket() {
    let hub = TIDECAST.serve(&["--publish-key", KEY, "--tickets"]);
    let url = hub.url();
    let ticket = TIDECAST.run(&["ticket", "--publish-key", KEY, "--channel", "a"]).stdout;
    let follow = |key: &str| TIDECAST.start(&["tail", "--url", &url, "--publish-key", key, "--channel", "a"]);
    let followers = [follow(KEY), follow(&ticket)];
    let publish = ["publish", "--url", &url, "--publish-key", KEY, "--channel", "a", "hello"];
    // A follower that has opened its stream receives the event.
    for follower in &followers {
        wait_for("an event", || {
            TIDECAST.run(&publish).expect(0);
            (!follower.stdout().is_empty()).then_some(())
        });
    }
    let refused = TIDECAST.run(&["tail", "--url", &url, "--channel", "a"]);
    assert!(refused.expect(1).stderr.contains("TIDECAST_PUBLISH_KEY"), "{refused:?}");
    let refused = TIDECAST.run(&["tail", "--url", &url, "--publish-key", &ticket, "--channel", "b"]);
    assert!(refused.expect(1).stderr.contains("not for `b`"), "{refused:?}");
    let refused = TIDECAST.run(&["publish", "--url", &url, "--publish-key", &ticket, "--channel", "a", "hello"]);
    assert!(refused.expect(1).stderr.contains("a ticket opens streams only"), "{refused:?}");
}

#[test]
fn bench_runs_with_the_key() {
    let hub = TIDECAST.serve(&["--publish-key", KEY, "--tickets"]);
    TIDECAST
        .run(&["bench", "--url", &hub.url(), "--publish-key", KEY, "--subscribers", "2", "--events", "10"])
        .expect(0);
}

#[test]
fn invalid_arguments_of_ticket_are_refused_with_the_reason() {
    for (arguments, expected_text) in [
        (&["ticket"][..], "TIDECAST_PUBLISH_KEY"),
        (&["ticket", "--publish-key", ""], "TIDECAST_PUBLISH_KEY"),
        (&["ticket", "--publish-key", "two words"], "visible ASCII"),
        (&["ticket", "--publish-key", &KEY[..31]], "31 bytes"),
        (&["ticket", "--publish-key", KEY, "--channel", ""], "channel"),
        (&["ticket", "--publish-key", KEY, "--for", "0"], "--for"),
        (&["ticket", "--publish-key", KEY, "--for", "soon"], "--for"),
        (&["ticket", "--publish-key", KEY, "--url", "hub.example"], "--url"),
        (&["ticket", "--publish-key", KEY, "--url", "http://hub.example/?a=b"], "--url"),
    ] {
        let end = TIDECAST.run(arguments);
        assert!(end.expect(64).stderr.contains(expected_text), "{arguments:?}: {end:?}");
        assert!(end.stdout.is_empty() && !end.stderr.contains("two words"), "{end:?}");
    }
}
