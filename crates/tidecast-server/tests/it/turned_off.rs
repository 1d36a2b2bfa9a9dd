//! Tests of other files once more, against hubs of which a part is turned off.

use std::{env, process::Command};

use tidecast_test::EXTRA_SERVE_ARGUMENTS;

/// Streams as ordinary response bodies.
///
/// To run one test so: `TIDECAST_TEST_SERVE_ARGUMENTS="--reactors 0" cargo test --test it streams::NAME`.
#[test]
fn streams_work_without_reactors() {
    run_again(&["streams::"], EXTRA_SERVE_ARGUMENTS, "--reactors 0");
}

/// Publishes through hyper. The hub reads the variable only in builds with debug assertions.
#[test]
fn publishing_works_without_the_fast_path() {
    let topics = ["access::", "access_log::", "bad_", "channels::", "idempotency::", "redis::refusals", "timeouts::"];
    run_again(&topics, "HUB_TEST_WITHOUT_FAST_PATH", "1");
}

fn run_again(names: &[&str], variable: &str, value: &str) {
    let mut tests = Command::new(env::current_exe().expect("the path of the test program"));
    let output = tests.args(names).arg("--quiet").env(variable, value).output().expect("the test program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(!stdout.contains(" 0 passed"), "no test matches {names:?}: {stdout}");
}
