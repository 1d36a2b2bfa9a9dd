//! Measures the hub, side by side with a hub that somebody wrote by hand.
//!
//! ```sh
//! cargo build --release --package tidecast-server
//! TIDECAST_BIN=target/release/tidecast cargo run --release --manifest-path bench/Cargo.toml -- --quick
//! ```
//!
//! It prints a table in Markdown, or with `--json` the same as JSON. The files by step: [`hubs`] starts and stops the
//! servers, [`load`] publishes and receives, each file of [`cases`] asks one question, and [`report`] writes what came
//! out.

mod cases {
    //! What is measured.

    pub(crate) mod encode;
    pub(crate) mod fan_out;
}
mod hubs;
mod load;
mod report;

use anyhow::{Result, bail};

use crate::report::Report;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Rounds of each case and hub; the figures are their medians.
    rounds: usize,
    /// Events of one round.
    events: usize,
}

const FULL: Effort = Effort { rounds: 5, events: 1_000 };
const QUICK: Effort = Effort { rounds: 3, events: 100 };

fn main() -> Result<()> {
    let mut effort = FULL;
    let mut json = false;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--quick" => effort = QUICK,
            "--json" => json = true,
            other => bail!("`{other}` is not known here; known are --quick and --json"),
        }
    }
    let mut report = Report::default();
    cases::encode::run(effort, &mut report)?;
    cases::fan_out::run(effort, &mut report)?;
    print!("{}", if json { report.json() } else { report.markdown() });
    Ok(())
}
