//! The servers under test, each a process of its own.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Tidecast, as it is released.
    Tidecast,
    /// axum and a broadcast channel, as most people would write it: `bin/by_hand.rs`.
    ByHand,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Tidecast, Self::ByHand];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tidecast => "tidecast",
            Self::ByHand => "by hand",
        }
    }
}

/// Where the programs are.
#[derive(Debug)]
pub(crate) struct Programs {
    tidecast: PathBuf,
    by_hand: PathBuf,
}

impl Programs {
    /// Finds them, and builds the one that is of this package: `cargo run` builds only what it runs.
    pub(crate) fn find() -> Result<Self> {
        let tidecast = env::var_os("TIDECAST_BIN")
            .context("TIDECAST_BIN is not set: it is the path of the hub, built by `cargo build --release`")?;
        let tidecast = PathBuf::from(tidecast);
        ensure!(tidecast.is_file(), "TIDECAST_BIN: there is no {}", tidecast.display());
        let mut build = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.args(["build", "--quiet", "--release", "--bin", "by_hand", "--manifest-path"]);
        build.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        ensure!(build.status().context("failed to run cargo")?.success(), "the hub by hand was not built");
        let by_hand = env::current_exe()?.with_file_name("by_hand");
        Ok(Self { tidecast, by_hand })
    }

    /// Starts a server on a free port.
    pub(crate) fn start(&self, kind: Kind) -> Result<Hub> {
        let mut command = match kind {
            Kind::Tidecast => {
                let mut command = Command::new(&self.tidecast);
                command.args(["serve", "--listen", "127.0.0.1:0"]);
                // What is measured is memory, also where the machine has a Redis for other programs.
                for name in ["TIDECAST_REDIS", "SSE_REDIS_URL", "REDIS_URL"] {
                    command.env_remove(name);
                }
                for part in ["HOST", "PORT", "DB"] {
                    command.env_remove(format!("SSE_REDIS_{part}"));
                }
                command
            }
            Kind::ByHand => Command::new(&self.by_hand),
        };
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("no output")?).read_line(&mut line)?;
        let address =
            line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).and_then(|at| at.parse().ok());
        let Some(address) = address else {
            let _ = process.kill();
            anyhow::bail!("{} did not start: {line}", kind.name());
        };
        Ok(Hub { process, address })
    }
}

/// A server that runs. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Hub {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Hub {
    /// The processor time that it has taken so far, of all its threads.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // The second field is the program's name in parentheses, and may have spaces in it.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<u64>().ok()).context("no such field");
        let ticks = ticks(11)? + ticks(12)?;
        Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
