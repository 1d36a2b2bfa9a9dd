//! Idle connections: the memory of each, and what remains after all have closed.
//!
//! Some connections open and close before, so that memory which a server needs once is not counted.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Effort;
use crate::{
    figures::{Figures, Metric},
    load::{Load, ledger::Plan},
    servers::{Server, kernel, process::Processes},
};

/// How many connections open and close before.
const FIRST: usize = 100;

/// How long memory must be steady before it is recorded, and how long the case waits for that.
const STEADY: Duration = Duration::from_millis(500);
const STEADY_QUICK: Duration = Duration::from_millis(20);
const STEADY_WITHIN: Duration = Duration::from_secs(15);

const MIB: f64 = 1024.0 * 1024.0;

pub(super) fn measure(server: &Server, effort: Effort, connections: usize) -> Result<Figures> {
    let connections = effort.scaled(connections);
    let processes = server.processes()?;
    let fresh = processes.memory()?;
    drop(connect(server, FIRST.min(connections))?);
    let before = steady(&processes, effort)?;
    let kernel_before = kernel::memory()?;
    let began = Instant::now();
    let load = connect(server, connections)?;
    let took = began.elapsed();
    let at = steady(&processes, effort)?;
    let kernel_at = kernel::memory()?;
    drop(load);
    let after = steady(&processes, effort)?;
    let mut figures = Figures::default();
    let kib_each = |at: u64, before: u64| at.saturating_sub(before) as f64 / 1024.0 / connections as f64;
    figures.put(Metric::KibEach, kib_each(at, before));
    figures.put(Metric::KernelKibEach, kib_each(kernel_at, kernel_before));
    figures.put(Metric::MibFresh, fresh as f64 / MIB);
    figures.put(Metric::MibBefore, before as f64 / MIB);
    figures.put(Metric::MibAt, at as f64 / MIB);
    figures.put(Metric::MibAfter, after as f64 / MIB);
    figures.put(Metric::ConnectSeconds, took.as_secs_f64());
    Ok(figures)
}

fn connect(server: &Server, subscribers: usize) -> Result<Load> {
    Load::connect(server, Plan { subscribers, channels: 1, channels_each: 1, data_bytes: 64 })
}

/// Returns the memory once it changes by less than a hundredth, or after the longest wait.
pub(super) fn steady(processes: &Processes, effort: Effort) -> Result<u64> {
    let interval = if effort.quick { STEADY_QUICK } else { STEADY };
    let deadline = Instant::now() + STEADY_WITHIN;
    let mut memory = processes.memory()?;
    loop {
        std::thread::sleep(interval);
        let now = processes.memory()?;
        if now.abs_diff(memory) <= memory / 100 || Instant::now() > deadline {
            return Ok(now);
        }
        memory = now;
    }
}
