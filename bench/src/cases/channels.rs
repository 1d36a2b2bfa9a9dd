//! Many channels with two subscribers each, published to in turn: publishing counts more than the fan-out.

use std::time::Duration;

use anyhow::Result;

use super::{Effort, closed_loop::AHEAD, run};
use crate::{
    figures::Figures,
    load::{Load, Pace, ledger::Plan},
    servers::Server,
};

const CHANNELS: usize = 5_000;
const PER_SECOND: u32 = 2_000;

pub(super) fn paced(server: &Server, effort: Effort) -> Result<Figures> {
    Ok(run(server, &mut connect(server, effort)?, Pace::Every(Duration::from_secs(1) / PER_SECOND), effort.time)?.1)
}

pub(super) fn closed_loop(server: &Server, effort: Effort) -> Result<Figures> {
    Ok(run(server, &mut connect(server, effort)?, Pace::InFlight(AHEAD), effort.time)?.1)
}

fn connect(server: &Server, effort: Effort) -> Result<Load> {
    let channels = effort.scaled(CHANNELS);
    Load::connect(server, Plan { subscribers: channels * 2, channels, channels_each: 1, data_bytes: 64 })
}
