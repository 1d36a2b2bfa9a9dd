//! A log of 10,000 lines goes through `publish -` to two `tail`s while the hub is stopped or killed and started again.

use std::{
    collections::HashMap,
    io::Write,
    process::Stdio,
    sync::mpsc,
    thread::{self, JoinHandle},
};

use serde_json::Value;

use tidecast_test::{Finished, HubProcess, Process, Signal, wait_for};

use crate::{TIDECAST, log, until_subscribed};

const LINES: usize = 10_000;

/// The number of lines that are published before the hub ends. The rest follow after the signal.
const BEFORE: usize = 5_000;

/// The processes and data of a test.
struct Scene {
    hub: HubProcess,
    tails: [Process; 2],
    publisher: Process,
    lines: Vec<String>,
    go_on: mpsc::Sender<()>,
    feeder: JoinHandle<()>,
}

impl Scene {
    fn begin() -> Self {
        let hub = TIDECAST.serve(&[]);
        let url = hub.url();
        let tail = || TIDECAST.start(&["tail", "--url", &url, "--channel", "dpkg", "--json"]);
        let tails = [tail(), tail()];
        until_subscribed(&hub, "dpkg", 2);
        let lines = log::lines(LINES);
        let arguments = ["publish", "--url", &url, "--channel", "dpkg", "-"];
        let mut publisher = Process::start(TIDECAST.command(&arguments).stdin(Stdio::piped()));
        let mut stdin = publisher.stdin();
        let (go_on, received) = mpsc::channel();
        let fed = lines.clone();
        let feeder = thread::spawn(move || {
            let mut feed = |lines: &[String]| stdin.write_all((lines.join("\n") + "\n").as_bytes());
            feed(&fed[..BEFORE]).expect("publish reads");
            let _ = received.recv();
            feed(&fed[BEFORE..]).expect("publish reads");
        });
        Self { hub, tails, publisher, lines, go_on, feeder }
    }

    /// Ends the hub in the middle and starts it again. Returns how `publish` ended.
    fn through(self, signal: Signal) -> (HubProcess, [Process; 2], Vec<String>, Finished) {
        let Self { hub, tails, publisher, lines, go_on, feeder } = self;
        // The signal comes while the publisher is busy.
        wait_for("first lines", || (tails[0].stdout().lines().count() > BEFORE / 5).then_some(()));
        go_on.send(()).expect("the feeder waits");
        hub.signal(signal);
        let address = hub.address.to_string();
        hub.finish();
        let hub = TIDECAST.serve(&["--listen", &address]);
        let end = publisher.finish();
        feeder.join().expect("everything was read");
        (hub, tails, lines, end)
    }
}

/// Returns what a tail has printed: the count of each line, their order, and the reasons of its resets.
fn printed(tail: &Process) -> (HashMap<String, usize>, Vec<String>, Vec<String>) {
    let (mut counts, mut order, mut resets) = (HashMap::new(), Vec::new(), Vec::new());
    for line in tail.stdout().lines() {
        let event: Value = serde_json::from_str(line).expect("an object per line");
        let data = event["data"].as_str().expect("data is a string");
        if event["type"] == "stream-reset" {
            let data: Value = serde_json::from_str(data).expect("a reset's data is JSON");
            resets.push(data["reason"].as_str().expect("a reset has a reason").to_owned());
            continue;
        }
        assert_eq!(event["channel"], "dpkg");
        assert_eq!(event["type"], "message");
        *counts.entry(data.to_owned()).or_default() += 1;
        order.push(data.to_owned());
    }
    (counts, order, resets)
}

#[test]
fn a_hub_that_is_stopped_and_started_loses_and_repeats_nothing() {
    let (_hub, tails, lines, end) = Scene::begin().through(Signal::TERM);
    end.expect(0);
    assert_eq!(end.stdout, "published 10000 of 10000 lines");
    assert_eq!(end.stderr, "");
    for tail in tails {
        wait_for("the last line", || tail.stdout().lines().next_back()?.contains(lines.last()?).then_some(()));
        let (_, order, resets) = printed(&tail);
        assert!(order == lines, "{} lines, of {}", order.len(), lines.len());
        assert_eq!(resets, ["restarted"]);
        assert!(tail.stderr().contains("connecting again in"), "{}", tail.stderr());
    }
}

#[test]
fn every_line_is_accounted_for_if_the_hub_is_killed() {
    let (_hub, tails, lines, end) = Scene::begin().through(Signal::KILL);
    let unknown = unknown_lines(&end.stderr);
    end.expect(if unknown.is_empty() { 0 } else { 2 });
    let counts = match unknown.len() {
        0 => "published 10000 of 10000 lines".to_owned(),
        some => format!("published {} of 10000 lines; {some} of unknown fate", LINES - some),
    };
    assert_eq!(end.stdout, counts);
    for tail in tails {
        wait_for("the last line", || tail.stdout().lines().next_back()?.contains(lines.last()?).then_some(()));
        let (counts, _, resets) = printed(&tail);
        assert_eq!(resets, ["restarted"], "what is missing is told");
        for (index, line) in lines.iter().enumerate() {
            let times = counts.get(line).copied().unwrap_or_default();
            let doubted = unknown.contains(&(index + 1));
            assert!(times <= 1 || doubted, "line {} came {times} times", index + 1);
            // Lines that only the first hub had were published before it died; the second has all later ones.
            assert!(times > 0 || index < BEFORE, "line {} is missing", index + 1);
        }
    }
}

/// Returns the numbers of the lines that `publish` reports as in doubt.
fn unknown_lines(stderr: &str) -> Vec<usize> {
    let Some((_, rest)) = stderr.split_once("fate unknown of line") else { return Vec::new() };
    let ranges = rest.trim_start_matches('s').split_once(':').expect("the names have an end").0;
    let ranges = ranges.split(',').map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| -> usize { text.trim().parse().expect("a line's number") };
        number(first)..=number(last)
    });
    ranges.flatten().collect()
}
