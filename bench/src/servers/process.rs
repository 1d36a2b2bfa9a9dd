//! Processor time and memory of a server's processes.

use std::{
    fs,
    process::Child,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take to end by itself.
const END_WITHIN: Duration = Duration::from_secs(2);

/// A process and its children.
#[derive(Debug)]
pub(crate) struct Processes(Vec<u32>);

impl Processes {
    pub(crate) fn of(first: u32) -> Result<Self> {
        let mut all = vec![first];
        for entry in fs::read_dir("/proc")?.flatten() {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            if parent(id) == Some(first) {
                all.push(id);
            }
        }
        Ok(Self(all))
    }

    /// Returns this process alone.
    pub(crate) fn own() -> Self {
        Self(vec![std::process::id()])
    }

    /// Returns these processes and the others.
    pub(crate) fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Returns the processor time of all running threads, to the nanosecond. It can decrease, as ended threads do not
    /// count.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        let mut nanos = 0;
        for id in &self.0 {
            for thread in fs::read_dir(format!("/proc/{id}/task"))? {
                // A thread may end after it was listed.
                let Ok(line) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
                let first = line.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok());
                nanos += first.context("no time in schedstat")?;
            }
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// Returns their memory in bytes; shared memory counts in proportion.
    pub(crate) fn memory(&self) -> Result<u64> {
        let mut bytes = 0;
        for id in &self.0 {
            let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup"))?;
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss")?;
            bytes += line.trim().trim_end_matches(" kB").parse::<u64>()? * 1_024;
        }
        Ok(bytes)
    }
}

/// Ends a process and its children. A process with children is asked to end first.
pub(super) fn end(process: &mut Child) {
    let children = Processes::of(process.id()).map(|all| all.0).unwrap_or_default();
    // A process without children loses nothing if it is killed, and need not wait for its streams.
    if children.len() > 1 {
        let _ = kill_process(Pid::from_child(process), Signal::TERM);
        let deadline = Instant::now() + END_WITHIN;
        while Instant::now() < deadline && matches!(process.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    let ended = matches!(process.try_wait(), Ok(Some(_)));
    if !ended {
        for child in children.iter().skip(1).filter(|&&child| parent(child) == Some(process.id())) {
            if let Some(child) = i32::try_from(*child).ok().and_then(Pid::from_raw) {
                let _ = kill_process(child, Signal::KILL);
            }
        }
        let _ = process.kill();
    }
    let _ = process.wait();
}

fn parent(id: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The second field is the program's name in parentheses, which may have spaces.
    stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_takes_time_and_memory() {
        let own = Processes::of(std::process::id()).unwrap();
        assert!(own.cpu_time().unwrap() > Duration::ZERO);
        assert!(own.memory().unwrap() > 100_000);
        assert_eq!(parent(std::process::id()), Some(std::os::unix::process::parent_id()));
    }
}
