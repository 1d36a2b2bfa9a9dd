//! Streams as ordinary response bodies.

use std::{env, process::Command};

use tidecast_test::EXTRA_SERVE_ARGUMENTS;

/// Runs the tests in `streams` once more, against hubs without a reactor.
///
/// To run one of them so: `TIDECAST_TEST_SERVE_ARGUMENTS="--reactors 0" cargo test --test it streams::NAME`.
#[test]
fn streams_work_without_reactors() {
    let mut tests = Command::new(env::current_exe().expect("the path of the test program"));
    let tests = tests.args(["streams::", "--quiet"]).env(EXTRA_SERVE_ARGUMENTS, "--reactors 0");
    let output = tests.output().expect("the test program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(!stdout.contains(" 0 passed"), "no test is in `streams`: {stdout}");
}
