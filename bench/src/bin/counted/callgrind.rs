//! Runs a case under valgrind and reads its count of instructions.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    cases::{Case, Run},
    publisher::Requests,
};

/// Returns the instructions of one operation of a case.
pub(crate) fn count(case: &Case, hub: &Path) -> Result<u64> {
    let [fewer, more] = case.times;
    let total = |times| {
        let counted = match &case.run {
            Run::Engine(_) => engine(case, times),
            Run::Hub(arguments, requests) => over_http(hub, arguments, requests, times),
        };
        counted.with_context(|| format!("failed to count `{}`", case.name))
    };
    let (fewer_total, more_total) = (total(fewer)?, total(more)?);
    Ok(more_total.saturating_sub(fewer_total) / ((more - fewer) * case.operations))
}

fn engine(case: &Case, times: u64) -> Result<u64> {
    let log = Log::new(case.name);
    let status = valgrind(&log, &env::current_exe()?).args(["run", case.name, &times.to_string()]).status()?;
    ensure!(status.success(), "the program failed: {status}\n{}", log.text());
    log.total()
}

/// Counts all threads of the hub. Those without the connection sleep.
fn over_http(hub: &Path, arguments: &[&str], requests: &Requests, times: u64) -> Result<u64> {
    let log = Log::new("http");
    let mut hub = RunningHub(
        valgrind(&log, hub)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?,
    );
    let mut line = String::new();
    let mut stdout = BufReader::new(hub.0.stdout.take().context("its output is a pipe")?);
    stdout.read_line(&mut line)?;
    let address = line.split_once("http://").and_then(|(_, rest)| rest.split_once('/'));
    let address: SocketAddr =
        address.and_then(|(address, _)| address.parse().ok()).with_context(|| format!("no address in {line:?}"))?;
    requests.send(address, times)?;
    // Valgrind counts only a program that ends by itself.
    kill_process(Pid::from_child(&hub.0), Signal::TERM)?;
    let status = hub.0.wait()?;
    ensure!(status.success(), "the program failed: {status}\n{}", log.text());
    log.total()
}

fn valgrind(log: &Log, program: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", &format!("--log-file={}", log.0.display())]);
    command.arg(program);
    command
}

/// A child process, killed when it is dropped.
struct RunningHub(Child);

impl Drop for RunningHub {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The log of valgrind, a temporary file.
struct Log(PathBuf);

impl Log {
    fn new(name: &str) -> Self {
        Self(env::temp_dir().join(format!("tidecast-counted-{}-{name}.log", std::process::id())))
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.0).unwrap_or_default()
    }

    fn total(&self) -> Result<u64> {
        let text = self.text();
        let Some((_, rest)) = text.split_once("Collected :") else { bail!("valgrind counted nothing:\n{text}") };
        let number: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
        number.parse().with_context(|| format!("valgrind counted no number:\n{text}"))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
