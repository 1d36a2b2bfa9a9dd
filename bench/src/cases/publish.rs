//! Publishes over HTTP without subscribers: the cost of a request.

use anyhow::Result;

use super::Effort;
use crate::{
    figures::{Figures, Metric},
    load::{Load, Pace, ledger::Plan},
    servers::Server,
};

pub(super) fn measure(server: &Server, effort: Effort, in_flight: u64) -> Result<Figures> {
    let plan = Plan { subscribers: 0, channels: 1, channels_each: 1, data_bytes: 64 };
    let mut load = Load::connect(server, plan)?;
    load.run(Pace::InFlight(in_flight), effort.time / 5)?;
    let processes = server.processes()?;
    let before = processes.cpu_time()?;
    let outcome = load.run(Pace::InFlight(in_flight), effort.time)?;
    let took = processes.cpu_time()?.saturating_sub(before);
    let mut figures = Figures::default();
    figures.put(Metric::Publishes, outcome.publishes as f64 / outcome.took.as_secs_f64());
    figures.put(Metric::CpuOfPublishes, took.as_secs_f64() * 1e6 / outcome.publishes as f64);
    Ok(figures)
}
