//! A Flask program with some hundred readers: their memory while they wait, and then a steady rate.
//!
//! No connections are opened and closed before, as Flask-SSE keeps the stream of a client that has gone until the next
//! event.

use std::time::Duration;

use anyhow::Result;

use super::{Effort, idle::steady, run};
use crate::{
    figures::{Figures, Metric},
    load::{Load, Pace, ledger::Plan},
    servers::Server,
};

const MIB: f64 = 1024.0 * 1024.0;

pub(super) fn measure(server: &Server, effort: Effort, subscribers: usize, per_second: usize) -> Result<Figures> {
    let subscribers = effort.scaled(subscribers);
    let processes = server.processes()?;
    let fresh = steady(&processes, effort)?;
    let mut load = Load::connect(server, Plan { subscribers, channels: 1, channels_each: 1, data_bytes: 64 })?;
    let at = steady(&processes, effort)?;
    let (_, mut figures) =
        run(server, &mut load, Pace::Every(Duration::from_secs(1) / per_second as u32), effort.time)?;
    figures.put(Metric::MibFresh, fresh as f64 / MIB);
    figures.put(Metric::MibAt, at as f64 / MIB);
    figures.put(Metric::KibEach, at.saturating_sub(fresh) as f64 / 1024.0 / subscribers as f64);
    // After the events, as publishing opens connections too.
    figures.put(Metric::RedisConnections, server.redis_connections()? as f64);
    Ok(figures)
}
