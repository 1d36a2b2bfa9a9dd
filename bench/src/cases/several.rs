//! Streams of three channels compared with streams of one, published to in turn at full speed.

use anyhow::Result;

use super::{Effort, closed_loop::AHEAD, run};
use crate::{
    figures::{Figures, Metric},
    load::{Load, Pace, ledger::Plan},
    servers::{Kind, Programs, Server},
};

const CHANNELS: usize = 3;

/// Measures each on a server of its own, as what was published before is not to count.
pub(super) fn measure(programs: &Programs, kind: Kind, effort: Effort) -> Result<Figures> {
    let mut figures = on(&programs.start(kind)?, effort, CHANNELS)?;
    let on_one = on(&programs.start(kind)?, effort, 1)?;
    figures.add_faults(&on_one);
    figures.put(Metric::DeliveriesOnOne, on_one.of(Metric::Deliveries).unwrap_or(f64::NAN));
    Ok(figures)
}

fn on(server: &Server, effort: Effort, channels: usize) -> Result<Figures> {
    let subscribers = effort.scaled(1_000);
    let mut load = Load::connect(server, Plan { subscribers, channels, channels_each: channels, data_bytes: 64 })?;
    Ok(run(server, &mut load, Pace::InFlight(AHEAD), effort.time)?.1)
}
