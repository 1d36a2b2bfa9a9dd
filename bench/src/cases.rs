//! The measured cases, a file for each kind.

mod channels;
mod closed_loop;
mod connects;
mod encode;
mod flask;
mod idle;
mod list;
mod paced;
mod publish;
mod publish_forms;
mod several;

use std::time::Duration;

use anyhow::Result;

pub(crate) use self::list::ALL;
use self::{connects::Arrivals, encode::Sample, list::LIVE};
use crate::{
    figures::{Bar, Figures, Metric},
    load::{Load, Outcome, Pace},
    servers::{Kind, Programs, Server, process::Processes},
};

/// The extent of a measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Rounds of each case and server, of which the medians count.
    pub(crate) rounds: usize,
    /// How long a round publishes.
    pub(crate) time: Duration,
    /// A check that everything works, with a fiftieth of the connections and rates.
    pub(crate) quick: bool,
}

impl Effort {
    /// Returns the number of connections, channels or events a second, reduced in a quick run.
    fn scaled(&self, number: usize) -> usize {
        if self.quick { (number / 50).max(4) } else { number }
    }
}

/// A measured case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// The figure by which servers are compared.
    pub(crate) main: Metric,
    pub(crate) bars: &'static [Bar],
    /// Whether the case measures Flask programs, and nothing else.
    of_flask: bool,
    question: Question,
}

#[derive(Debug, Clone, Copy)]
enum Question {
    Idle { connections: usize },
    Paced { subscribers: usize, per_second: usize },
    ClosedLoop { subscribers: usize, data_bytes: usize },
    ChannelsPaced { channels: usize },
    ChannelsClosed(Pace, usize),
    Several,
    Connects { arrivals: Arrivals, behind: Option<usize> },
    Publish { in_flight: u64 },
    PublishForms { burst: usize },
    Encode(Sample),
    Flask { subscribers: usize, per_second: usize },
}

impl Case {
    /// Returns whether the case applies to this server.
    pub(crate) fn is_for(&self, kind: Kind) -> bool {
        if self.of_flask || kind.is_flask() {
            return self.of_flask && kind.is_flask();
        }
        match self.question {
            _ if kind.is_live() => LIVE.contains(&self.name),
            // The bare writers support one channel a connection.
            Question::Several => !kind.is_bare() && kind != Kind::DurableStreams,
            Question::PublishForms { .. } => kind.is_bare() || matches!(kind, Kind::Tidecast | Kind::Axum),
            Question::Connects { behind: Some(_), .. } => kind.resumes(),
            Question::Encode(_) => kind == Kind::Tidecast,
            _ => true,
        }
    }

    /// Returns the page of its figures in `docs/`.
    pub(crate) fn page(&self) -> &'static str {
        if self.of_flask { "performance-flask.md" } else { "performance.md" }
    }

    /// Returns whether the case delivers events, so that some can be lost.
    pub(crate) fn delivers(&self) -> bool {
        !matches!(
            self.question,
            Question::Idle { .. }
                | Question::Connects { .. }
                | Question::Publish { .. }
                | Question::PublishForms { .. }
                | Question::Encode(_)
        )
    }

    /// Measures a server once.
    pub(crate) fn measure(&self, programs: &Programs, kind: Kind, effort: Effort) -> Result<Figures> {
        let start = || programs.start(kind);
        match self.question {
            Question::Idle { connections } => idle::measure(&start()?, effort, connections),
            Question::Paced { subscribers, per_second } => paced::measure(&start()?, effort, subscribers, per_second),
            Question::ClosedLoop { subscribers, data_bytes } => {
                closed_loop::measure(&start()?, effort, subscribers, data_bytes)
            }
            Question::ChannelsPaced { channels } => channels::paced(&start()?, effort, channels),
            Question::ChannelsClosed(pace, connections) => channels::closed_loop(&start()?, effort, pace, connections),
            Question::Several => several::measure(programs, kind, effort),
            Question::Connects { arrivals, behind } => connects::measure(&start()?, effort, arrivals, behind),
            Question::Publish { in_flight } => publish::measure(&start()?, effort, in_flight),
            Question::PublishForms { burst } => publish_forms::measure(programs, kind, effort, burst),
            Question::Encode(sample) => encode::measure(sample, effort.quick),
            Question::Flask { subscribers, per_second } => flask::measure(&start()?, effort, subscribers, per_second),
        }
    }
}

/// Warms up and measures the figures of every run with deliveries: rates, latencies, processor time, faults.
fn run(server: &Server, load: &mut Load, pace: Pace, time: Duration) -> Result<(Outcome, Figures)> {
    load.run(pace, time / 5)?;
    let (processes, redis) = (server.processes()?, server.redis_processes()?);
    let cpu_of_redis = || redis.as_ref().map_or(Ok(Duration::ZERO), Processes::cpu_time);
    let own = Processes::own();
    let (before, own_before, redis_before) = (processes.cpu_time()?, own.cpu_time()?, cpu_of_redis()?);
    let outcome = load.run(pace, time)?;
    let took = processes.cpu_time()?.saturating_sub(before);
    let redis_took = cpu_of_redis()?.saturating_sub(redis_before);
    let own_took = own.cpu_time()?.saturating_sub(own_before);
    let mut figures = Figures::default();
    let deliveries = outcome.deliveries as f64;
    figures.put(Metric::Deliveries, deliveries / outcome.took.as_secs_f64());
    figures.put(Metric::Publishes, outcome.publishes as f64 / outcome.took.as_secs_f64());
    figures.put_latencies(&outcome.latencies);
    figures.put(Metric::Cpu, took.as_secs_f64() * 1e6 / deliveries);
    figures.put(Metric::CpuOfLoad, own_took.as_secs_f64() * 1e6 / deliveries);
    if redis.is_some() {
        figures.put(Metric::CpuOfRedis, redis_took.as_secs_f64() * 1e6 / deliveries);
    }
    figures.put_faults(load.faults());
    Ok((outcome, figures))
}
