//! Many channels with two subscribers each, published to in turn: publishing counts more than the fan-out.

use std::time::Duration;

use anyhow::Result;

use super::{Effort, run};
use crate::{
    figures::Figures,
    load::{Load, Pace, ledger::Plan},
    servers::Server,
};

pub(super) const CHANNELS: usize = 5_000;
const PER_SECOND: u32 = 2_000;

pub(super) fn paced(server: &Server, effort: Effort, channels: usize) -> Result<Figures> {
    let mut load = connect(server, effort, channels)?;
    Ok(run(server, &mut load, Pace::Every(Duration::from_secs(1) / PER_SECOND), effort.time)?.1)
}

pub(super) fn closed_loop(server: &Server, effort: Effort, pace: Pace, connections: usize) -> Result<Figures> {
    let mut load = connect(server, effort, CHANNELS)?;
    load.publish_over(server, connections)?;
    Ok(run(server, &mut load, pace, effort.time)?.1)
}

fn connect(server: &Server, effort: Effort, channels: usize) -> Result<Load> {
    let channels = effort.scaled(channels);
    Load::connect(server, Plan { subscribers: channels * 2, channels, channels_each: 1, data_bytes: 64 })
}
