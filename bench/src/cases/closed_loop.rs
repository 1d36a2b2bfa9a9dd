//! At full speed: the publisher stays a few events ahead of the slowest subscriber.

use anyhow::Result;

use super::{Effort, run};
use crate::{
    figures::Figures,
    load::{Load, Pace, ledger::Plan},
    servers::Server,
};

/// How many events the publisher may be ahead.
pub(super) const AHEAD: u64 = 8;

pub(super) fn measure(server: &Server, effort: Effort, subscribers: usize, data_bytes: usize) -> Result<Figures> {
    let subscribers = effort.scaled(subscribers);
    let mut load = Load::connect(server, Plan { subscribers, channels: 1, channels_each: 1, data_bytes })?;
    Ok(run(server, &mut load, Pace::InFlight(AHEAD), effort.time)?.1)
}
