//! Exit codes, and errors with their remedy.

use std::{
    io::{BufRead, BufReader, Write},
    process::Stdio,
};

use tidecast_test::{Process, Signal, wait_for};

use crate::{TIDECAST, get_json};

#[test]
fn publish_sends_all_fields_of_an_event() {
    let hub = TIDECAST.serve(&[]);
    let url = hub.url();
    let arguments =
        ["publish", "--url", &url, "--channel", "a", "--type", "t", "--id", "7", "--idempotency-key", "k", "hello"];
    for _ in 0..2 {
        let end = TIDECAST.run(&arguments);
        assert_eq!(end.expect(0).stdout, "");
    }
    let events = get_json(&hub, "/channels/a/events");
    assert_eq!(events["events"].as_array().map(Vec::len), Some(1), "the key makes it one: {events}");
    let event = &events["events"][0];
    assert_eq!((&event["type"], &event["id"], &event["data"]), (&"t".into(), &"7".into(), &"hello".into()));
}

#[test]
fn an_invalid_line_is_reported_and_the_others_are_published() {
    let hub = TIDECAST.serve(&[]);
    let input = b"{\"data\": 1}\n{\"data\": 2, \"channel\": \"b\"}\n{\"date\": 3}\n\n{\"data\": {\"n\": 4.0}}\n";
    let end = TIDECAST.run_with_input(&["publish", "--url", &hub.url(), "--channel", "a", "--ndjson", "-"], input);
    assert_eq!(end.expect(1).stdout, "published 3 of 4 lines; 1 refused");
    assert!(end.stderr.contains("line 3 was refused") && end.stderr.contains("unknown field `date`"), "{end:?}");
    assert_eq!(get_json(&hub, "/channels/a/events")["events"][1]["data"], "{\"n\": 4.0}");
    assert_eq!(get_json(&hub, "/channels/b/events")["events"][0]["data"], "2");
    // An error that only the hub finds is reported by its line as well.
    let long = format!("{{\"data\": 1}}\n{{\"data\": \"{}\"}}\n{{\"data\": 3}}\n", "x".repeat(1024 * 1024 + 1));
    let end =
        TIDECAST.run_with_input(&["publish", "--url", &hub.url(), "--channel", "c", "--ndjson", "-"], long.as_bytes());
    assert_eq!(end.expect(1).stdout, "published 2 of 3 lines; 1 refused");
    assert!(end.stderr.contains("line 2 was refused") && end.stderr.contains("1048577 bytes"), "{end:?}");
}

#[test]
fn the_key_is_taken_from_the_environment_or_a_flag() {
    let hub = TIDECAST.serve(&["--publish-key", "secret"]);
    let url = hub.url();
    let end = TIDECAST.run(&["publish", "--url", &url, "x"]);
    assert!(end.expect(1).stderr.contains("TIDECAST_PUBLISH_KEY"), "{end:?}");
    // The former names still work.
    for variable in ["TIDECAST_PUBLISH_KEY", "TIDECAST_KEY"] {
        let end = Process::start(TIDECAST.command(&["publish", "x"]).env("TIDECAST_URL", &url).env(variable, "secret"))
            .finish();
        end.expect(0);
        let end = Process::start(TIDECAST.command(&["publish", "--help"]).env(variable, "secret")).finish();
        assert!(!end.expect(0).stdout.contains("secret"), "{end:?}");
    }
    for flag in ["--publish-key", "--key"] {
        TIDECAST.run(&["publish", "--url", &url, flag, "secret", "x"]).expect(0);
    }
    let bench = ["bench", "--publish-key", "secret", "--subscribers", "1", "--events", "2"];
    TIDECAST.run(&[&bench[..], &["--url", &url]].concat()).expect(0);
    TIDECAST.run(&[&bench[..], &[&url]].concat()).expect(0);
}

#[test]
fn errors_name_the_remedy() {
    // The port was free a moment ago, so no hub listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let url = format!("http://{}", free.expect("a port is free"));
    for command in [
        &["publish", "--url", &url, "--give-up-after", "0", "x"][..],
        &["tail", "--url", &url],
        &["bench", "--url", &url],
    ] {
        let end = TIDECAST.run(command);
        assert!(end.expect(1).stderr.contains("`tidecast serve`"), "{end:?}");
    }
    for (command, part) in [
        (&["publish", "--url", "https://a", "x"][..], "https is not spoken"),
        (&["tail", "--last", "1001"], "1001"),
        (&["publish"], "DATA"),
        (&["publish", "--publish-key", "a\nb", "x"], "visible ASCII"),
        (&["publish", "--retry", "soon", "x"], "not a time"),
        (&["publish", "--ndjson", "--type", "a", "-"], "--ndjson"),
        (&["publish", "--ndjson", "{}"], "write `-`"),
        (&["publish", "--id", "7", "-"], "--id"),
        (&["publish", "--type", "stream-reset", "x"], "reserved"),
        (&["tail", "--channel", "a\nb"], "channel"),
        (&["bench", "--url", "https://a"], "https is not spoken"),
    ] {
        let end = TIDECAST.run(command);
        assert!(end.expect(64).stderr.contains(part), "{end:?}");
        assert!(!end.stderr.contains("a\nb"));
    }
}

/// It did not say that the variable had named the file.
#[test]
fn the_error_of_a_missing_configuration_file_has_the_source_of_its_name() {
    let file = "/no/such/file.toml";
    let of_variable = Process::start(TIDECAST.command(&["check-config"]).env("TIDECAST_CONFIG", file)).finish();
    for (end, source) in
        [(of_variable, "TIDECAST_CONFIG"), (TIDECAST.run(&["check-config", "--config", file]), "--config")]
    {
        let start = format!("error: {source}: failed to read the configuration file {file}: ");
        assert!(end.expect(64).stderr.starts_with(&start), "{end:?}");
    }
}

#[test]
fn tail_ends_if_its_output_is_closed() {
    let hub = TIDECAST.serve(&[]);
    TIDECAST.run(&["publish", "--url", &hub.url(), "hello"]).expect(0);
    let mut child =
        TIDECAST.command(&["tail", "--url", &hub.url(), "--last", "1"]).spawn().expect("the program starts");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut first).expect("a line");
    // The reader has closed the pipe, and nothing more is ever published.
    let end = Process::watch(child).finish();
    assert!(first.ends_with(" message hello\n"), "{first:?}");
    assert_eq!(end.expect(0).stderr, "");
}

#[test]
fn tail_escapes_control_characters() {
    let hub = TIDECAST.serve(&[]);
    let url = hub.url();
    TIDECAST.run(&["publish", "--url", &url, "--channel", "b", "--type", "t", "one\n\u{1b}[2Jtwo"]).expect(0);
    let tail = TIDECAST.start(&["tail", "--url", &url, "--channel", "a", "--channel", "b", "--last", "1"]);
    let stdout = wait_for("two lines", || Some(tail.stdout()).filter(|stdout| stdout.lines().count() == 2));
    let shown: Vec<_> = stdout.lines().collect();
    assert!(shown[0].starts_with("0.0,") || shown[0].contains(".0,"), "{shown:?}");
    assert!(shown[0].ends_with(" b t one"), "{shown:?}");
    assert_eq!(shown[1], "    \\x1b[2Jtwo");
    tail.signal(Signal::INT);
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&tail.finish().status), Some(2));
}

#[test]
fn lines_are_published_as_they_are_typed_and_an_interrupt_prints_the_counts() {
    let hub = TIDECAST.serve(&[]);
    let url = hub.url();
    let mut publisher = Process::start(TIDECAST.command(&["publish", "--url", &url, "-"]).stdin(Stdio::piped()));
    let mut stdin = publisher.stdin();
    for (count, line) in [(1, "one\n"), (2, "two\n")] {
        stdin.write_all(line.as_bytes()).expect("publish reads");
        wait_for("the event", || (get_json(&hub, "/channels/sse")["events"] == count).then_some(()));
    }
    // The hub has the event a moment before the publisher knows.
    publisher.signal(Signal::INT);
    let end = publisher.finish();
    assert!(matches!(end.status.code(), Some(2 | 130)), "{end:?}");
    assert!(end.stdout.starts_with("published ") && end.stdout.contains(" of 2 lines"), "{end:?}");
}

#[test]
fn bench_counts_every_delivery() {
    let hub = TIDECAST.serve(&[]);
    let end = TIDECAST.run(&["bench", &hub.url(), "--subscribers", "20", "--events", "50", "--rate", "500"]);
    let stdout = &end.expect(0).stdout;
    assert!(stdout.contains("1000 in all") && stdout.contains("lost 0, doubled 0"), "{stdout}");
    assert!(stdout.contains("p50") && stdout.contains("p99"), "{stdout}");
    // The channel may exist until its last readers are removed.
    for channel in get_json(&hub, "/channels")["channels"].as_array().into_iter().flatten() {
        assert_eq!(channel["events"], 0, "it cleans up");
    }
}

/// Each command panicked if it could not write a line.
#[test]
fn no_command_panics_if_its_output_is_closed() {
    let hub = TIDECAST.serve(&[]);
    let (there, nowhere) = (hub.url(), "http://127.0.0.1:1".to_owned());
    let broken = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    for (url, arguments, codes) in [
        (&there, &["check-config"][..], &[0][..]),
        (&there, &["print-config"], &[0]),
        (&there, &["check-config", "--retry", "25h"], &[64]),
        (&there, &["publish", "x"], &[0]),
        (&nowhere, &["publish", "--channel", "\n", "x"], &[1, 64]),
        (&nowhere, &["tail"], &[0, 1]),
        (&there, &["tail"], &[0]),
        (&there, &["bench", "--subscribers", "1", "--events", "2"], &[0]),
        (&there, &["ticket", "--publish-key", "0123456789abcdef0123456789abcdef"], &[1]),
        (&there, &["ticket"], &[64]),
        (&there, &["no-such-command"], &[64]),
        (&there, &["--help"], &[0]),
    ] {
        let mut command = TIDECAST.command(arguments);
        command.env("TIDECAST_URL", url).stdout(broken()).stderr(broken());
        let mut child = command.spawn().unwrap();
        let status = wait_for("end of the command", || child.try_wait().unwrap());
        assert!(status.code().is_some_and(|code| codes.contains(&code)), "{arguments:?}: {status}");
    }
}
