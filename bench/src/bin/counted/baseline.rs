//! The counts of an earlier run, and the allowed increase.

use std::{collections::BTreeMap, env::consts, fs, path::Path, process::Command};

use anyhow::{Context, Result};

use crate::cases;

/// Instructions of an operation by case, with the compiler and system.
#[derive(Debug, Default)]
pub(crate) struct Baseline {
    of: String,
    counts: BTreeMap<String, u64>,
}

/// The allowed increase in percent. Two runs of one build differ by less than 1, and other inlining of the compiler by
/// 2 or 3; one more allocation for each event is 5 and above.
const MORE_MAX: u64 = 5;

/// The allowed increase with another compiler or system: enough to notice a substantial change.
const MORE_MAX_ELSEWHERE: u64 = 30;

const HEAD: &str = "\
# Instructions an operation, counted by callgrind; written by `cargo xtask callgrind --write`.
";

impl Baseline {
    /// Returns an empty baseline of this machine.
    pub(crate) fn of_this_machine() -> Result<Self> {
        let rustc = Command::new("rustc").arg("--version").output().context("failed to ask rustc for its version")?;
        let rustc = String::from_utf8_lossy(&rustc.stdout).trim().to_owned();
        Ok(Self { of: format!("{rustc}, {} {}", consts::ARCH, consts::OS), counts: BTreeMap::new() })
    }

    /// Reads a file. Returns an empty baseline if there is none.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let mut baseline = Self::default();
        if !path.exists() {
            return Ok(baseline);
        }
        let text = fs::read_to_string(path)?;
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (name, rest) = line.split_once(' ').with_context(|| format!("{}: {line:?}", path.display()))?;
            match name {
                "of" => baseline.of = rest.trim().to_owned(),
                _ => baseline.put(name, rest.trim().parse().with_context(|| format!("{}: {line:?}", path.display()))?),
            }
        }
        Ok(baseline)
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let mut text = format!("{HEAD}of {}\n", self.of);
        for (name, count) in &self.counts {
            text.push_str(&format!("{name} {count}\n"));
        }
        Ok(fs::write(path, text)?)
    }

    pub(crate) fn put(&mut self, name: &str, count: u64) {
        self.counts.insert(name.to_owned(), count);
    }

    /// Prints both side by side. Returns whether every case is within its allowed increase.
    pub(crate) fn compare(&self, before: &Self) -> bool {
        let same = self.of == before.of;
        let more_max = if same { MORE_MAX } else { MORE_MAX_ELSEWHERE };
        if !same && !before.of.is_empty() {
            println!("the baseline is of {}, this is {}: up to {more_max} % more passes", before.of, self.of);
        }
        println!("{:<11} {:>8} {:>8}         an operation", "", "before", "now");
        let mut passed = true;
        for case in &cases::ALL {
            let now = self.counts.get(case.name).copied().unwrap_or_default();
            let (shown, verdict) = match before.counts.get(case.name).copied() {
                None => ("-".to_owned(), "new".to_owned()),
                Some(count) => {
                    let too_much = is_too_much(count, now, more_max);
                    passed &= !too_much;
                    let change = (now as f64 / count.max(1) as f64 - 1.0) * 100.0;
                    (count.to_string(), format!("{change:+.1} %{}", if too_much { " !" } else { "" }))
                }
            };
            println!("{:<11} {shown:>8} {now:>8} {verdict:>9}  {}", case.name, case.what);
        }
        if !passed {
            println!(
                "more than {more_max} % dearer than before: find out why, or accept it by `cargo xtask callgrind --write`"
            );
        }
        passed
    }
}

fn is_too_much(before: u64, now: u64, more_max: u64) -> bool {
    now * 100 > before * (100 + more_max)
}

#[cfg(test)]
mod tests {
    use super::is_too_much;

    #[test]
    fn an_increase_of_five_percent_passes_and_more_does_not() {
        assert!(!is_too_much(1_000, 1_050, 5));
        assert!(is_too_much(1_000, 1_051, 5));
        assert!(!is_too_much(1_000, 10, 5));
    }
}
