//! The sources of the Redis URL and their precedence. None of the tests needs a running Redis.

use std::{fs, path::PathBuf};

use tidecast_test::{Process, eventually, free_port};

use crate::{
    TIDECAST,
    support::metrics::{documented_names, scraped_names},
};

/// A temporary file, removed when it is dropped.
struct File(PathBuf);

impl File {
    fn with(text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tidecast-{}-{}.toml", std::process::id(), fastrand::u64(..)));
        fs::write(&path, text).expect("a file");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a path in UTF-8")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Returns the line about the broker that a hub prints at its start.
async fn broker_line(variables: &[(&str, &str)], arguments: &[&str]) -> String {
    let hub = TIDECAST.serve_with(arguments, |command| command.envs(variables.iter().copied()));
    let mut line = None;
    eventually("the line about the broker", async || {
        line = hub.stdout().lines().find_map(|line| line.strip_prefix("broker: ").map(str::to_owned));
        line.is_some()
    })
    .await;
    let line = line.expect("it was found");
    eventually("the broker is logged", async || hub.stderr().contains(&line)).await;
    let output = hub.stdout() + &hub.stderr();
    assert!(!output.contains("hunter2"), "{output}");
    line
}

/// Runs a command to its end. Returns its exit status and its output.
fn program(command: &str, variables: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, String) {
    let mut program = TIDECAST.command(&[command]);
    let finished = Process::start(program.args(arguments).envs(variables.iter().copied())).finish();
    let output = finished.stdout + "\n" + &finished.stderr;
    assert!(!output.contains("hunter2"), "{output}");
    (finished.status.code(), output)
}

#[tokio::test]
async fn the_first_source_of_a_redis_url_is_used_and_named() {
    let port = free_port();
    let url = |db: u8| format!("redis://:hunter2@127.0.0.1:{port}/{db}");
    let shown = |db: u8, source: &str| format!("redis redis://:***@127.0.0.1:{port}/{db} (from {source})");
    let file = File::with(&format!("redis = \"{}\"\n", url(3)));
    let source_in_file = format!("redis in {}, line 1", file.path());
    let (one, two, four, five) = (url(1), url(2), url(4), url(5));
    let port_text = port.to_string();
    let variables = [
        ("TIDECAST_REDIS", two.as_str()),
        ("SSE_REDIS_URL", &four),
        ("REDIS_URL", &five),
        ("SSE_REDIS_HOST", "127.0.0.1"),
        ("SSE_REDIS_PORT", &port_text),
        ("SSE_REDIS_DB", "6"),
    ];
    let with_file = ["--config", file.path()];
    assert_eq!(broker_line(&variables, &["--redis", &one, "--config", file.path()]).await, shown(1, "--redis"));
    assert_eq!(broker_line(&variables, &with_file).await, shown(2, "TIDECAST_REDIS"));
    assert_eq!(broker_line(&variables[1..], &with_file).await, shown(3, &source_in_file));
    assert_eq!(broker_line(&variables[1..], &[]).await, shown(4, "SSE_REDIS_URL"));
    assert_eq!(broker_line(&variables[2..], &[]).await, shown(5, "REDIS_URL"));
    let parts = format!("redis redis://127.0.0.1:{port}/6 (from SSE_REDIS_HOST, SSE_REDIS_PORT, SSE_REDIS_DB)");
    assert_eq!(broker_line(&variables[3..], &[]).await, parts);
    assert_eq!(broker_line(&[("SSE_REDIS_DB", "6")], &[]).await, "redis redis://localhost:6379/6 (from SSE_REDIS_DB)");
    assert_eq!(broker_line(&[], &[]).await, "memory");
    assert_eq!(broker_line(&[("SSE_REDIS_URL", ""), ("REDIS_URL", ""), ("SSE_REDIS_HOST", "")], &[]).await, "memory");
}

#[tokio::test]
async fn parameters_of_a_url_for_other_clients_cause_a_warning() {
    let url = format!("redis://:hunter2@127.0.0.1:{}/0?decode_responses=True&max_connections=10", free_port());
    let hub = TIDECAST.serve_with(&[], |command| command.env("REDIS_URL", &url));
    for option in ["decode_responses", "max_connections"] {
        let is_warned = |line: &str| line.contains("WARN") && line.contains("REDIS_URL") && line.contains(option);
        eventually(option, async || hub.stderr().lines().any(is_warned)).await;
    }
    let (status, output) = program("check-config", &[("REDIS_URL", &url)], &[]);
    assert!(status == Some(0) && output.contains("warning: REDIS_URL: "), "{output}");
    assert!(output.contains("decode_responses") && output.contains("max_connections"), "{output}");
}

#[test]
fn an_invalid_url_is_an_invalid_configuration() {
    for (variables, arguments, source) in [
        (&[][..], &["--redis", "http://:hunter2@localhost"][..], "--redis"),
        (&[][..], &["--redis", ""], "--redis"),
        (&[("SSE_REDIS_URL", "redis://:hunter2@localhost:port")], &[], "SSE_REDIS_URL"),
        (&[("REDIS_URL", "redis://:hunter2@localhost/-1")], &[], "REDIS_URL"),
        (&[("SSE_REDIS_PORT", "six")], &[], "SSE_REDIS_PORT"),
        (&[("SSE_REDIS_DB", "six")], &[], "SSE_REDIS_DB"),
    ] {
        for command in ["serve", "check-config"] {
            let arguments = [&["--listen", "127.0.0.1:0"], arguments].concat();
            let (status, output) = program(command, variables, &arguments);
            assert_eq!(status, Some(64), "{command} {variables:?} {arguments:?}: {output}");
            assert!(output.contains(&format!("error: {source}: ")), "{output}");
        }
    }
}

#[test]
fn the_effective_settings_are_shown_with_the_password_masked() {
    let url = "redis://me:hunter2@localhost:6379/1";
    let (status, output) = program("print-config", &[("TIDECAST_REDIS", url)], &["--redis-compat", "false"]);
    assert_eq!(status, Some(0), "{output}");
    assert!(output.contains("#redis = \"redis://me:***@localhost:6379/1\"  # TIDECAST_REDIS\n"), "{output}");
    assert!(output.contains("redis_compat = false  # --redis-compat\n"), "{output}");
}

#[tokio::test]
async fn only_a_hub_on_redis_has_the_metrics_of_redis() {
    let url = format!("redis://127.0.0.1:{}", free_port());
    for (arguments, end) in [(&["--redis", url.as_str()][..], "## Alerts"), (&[], "## Of a hub on Redis")] {
        let hub = TIDECAST.serve(arguments);
        let scrape = hub.get("/metrics").await.text();
        assert_eq!(scraped_names(&scrape), documented_names(end));
    }
}
