//! Runs steps one by one and prints a table of their outcomes.
//!
//! After a failed step the others are not run, unless `--keep-going` is given.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use xshell::Cmd;

/// The outcome of a step that did not fail.
#[derive(Debug)]
pub(crate) enum Outcome {
    Passed,
    /// There was nothing to do, for this reason.
    Skipped(String),
}

/// Runs a command that makes up a step.
pub(crate) fn passed(command: &Cmd<'_>) -> Result<Outcome> {
    command.run()?;
    Ok(Outcome::Passed)
}

#[derive(Debug)]
struct Row {
    name: &'static str,
    result: String,
    took: Option<Duration>,
}

/// The steps so far.
#[derive(Debug)]
pub(crate) struct Report {
    keep_going: bool,
    failures: usize,
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn new(keep_going: bool) -> Self {
        Self { keep_going, failures: 0, rows: Vec::new() }
    }

    /// Runs a step under a header line with its name.
    pub(crate) fn step(&mut self, name: &'static str, run: impl FnOnce() -> Result<Outcome>) {
        if self.failures > 0 && !self.keep_going {
            self.rows.push(Row { name, result: "not run".to_owned(), took: None });
            return;
        }
        println!("\n=== {name} ===");
        let start = Instant::now();
        let result = match run() {
            Ok(Outcome::Passed) => "passed".to_owned(),
            Ok(Outcome::Skipped(why)) => {
                println!("skipped: {why}");
                format!("skipped: {why}")
            }
            Err(error) => {
                eprintln!("{name}: {error:#}");
                self.failures += 1;
                "FAILED".to_owned()
            }
        };
        self.rows.push(Row { name, result, took: Some(start.elapsed()) });
    }

    /// Prints the table.
    ///
    /// # Errors
    ///
    /// If a step has failed.
    pub(crate) fn finish(self) -> Result<()> {
        println!("\n{}", self.table());
        match self.failures {
            0 => Ok(()),
            1 => bail!("a step failed"),
            many => bail!("{many} steps failed"),
        }
    }

    fn table(&self) -> String {
        let mut table = format!("{:<12} {:>8}  result", "step", "seconds");
        for Row { name, result, took } in &self.rows {
            let seconds = took.map(|took| format!("{:.1}", took.as_secs_f64())).unwrap_or_default();
            table.push_str(&format!("\n{name:<12} {seconds:>8}  {result}"));
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(keep_going: bool) -> Report {
        let mut report = Report::new(keep_going);
        report.step("first", || Ok(Outcome::Passed));
        report.step("second", || bail!("meant to"));
        report.step("third", || Ok(Outcome::Skipped("nothing here".to_owned())));
        report
    }

    #[test]
    fn nothing_runs_after_a_failure() {
        let report = ran(false);
        assert!(report.table().ends_with("  not run"), "{}", report.table());
        assert_eq!(report.finish().unwrap_err().to_string(), "a step failed");
    }

    #[test]
    fn keep_going_runs_the_rest_and_still_fails() {
        let report = ran(true);
        assert!(report.table().ends_with("  skipped: nothing here"), "{}", report.table());
        assert!(report.finish().is_err());
    }
}
