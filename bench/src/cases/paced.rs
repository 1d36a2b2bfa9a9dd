//! A steady rate to many subscribers: the latency, and the server's processor time.

use std::time::Duration;

use anyhow::Result;

use super::{Effort, run};
use crate::{
    figures::Figures,
    load::{Load, Pace, ledger::Plan},
    servers::Server,
};

pub(super) fn measure(server: &Server, effort: Effort, subscribers: usize, per_second: usize) -> Result<Figures> {
    let subscribers = effort.scaled(subscribers);
    let mut load = Load::connect(server, Plan { subscribers, channels: 1, channels_each: 1, data_bytes: 64 })?;
    let every = Duration::from_secs(1) / per_second as u32;
    Ok(run(server, &mut load, Pace::Every(every), effort.time)?.1)
}
