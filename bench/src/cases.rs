//! The measured cases, a file for each kind, and the bars that Tidecast must reach.

mod channels;
mod closed_loop;
mod connects;
mod encode;
mod flask;
mod idle;
mod paced;
mod publish;
mod publish_forms;
mod several;

use std::time::Duration;

use anyhow::Result;

use self::{connects::Arrivals, encode::Sample};

use crate::{
    figures::{Against, Bar, Figures, Metric},
    load::{Load, Outcome, Pace, form::Form},
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

const fn at_most(metric: Metric, number: f64) -> Bar {
    Bar::new(metric, number, Against::Number)
}

const fn of(metric: Metric, factor: f64, against: Against) -> Bar {
    Bar::new(metric, factor, against)
}

/// A connect must not cost more than one of nchan, and no request to connect may be lost.
const CONNECTS: &[Bar] = &[
    of(Metric::CpuOfConnects, 1.0, Against::Nchan),
    at_most(Metric::SynRetransmits, 0.0),
    at_most(Metric::ListenOverflows, 0.0),
];

/// The same, and all must have begun within a second.
const CONNECTS_AT_ONCE: &[Bar] = &[CONNECTS[0], CONNECTS[1], CONNECTS[2], at_most(Metric::ConnectSeconds, 1.0)];

const fn connects(name: &'static str, title: &'static str, arrivals: Arrivals, behind: Option<usize>) -> Case {
    let bars = if let Arrivals::AtOnce(_) = arrivals { CONNECTS_AT_ONCE } else { CONNECTS };
    case(name, title, Metric::CpuOfConnects, Question::Connects { arrivals, behind }, bars)
}

const fn small_channels(name: &'static str, title: &'static str, connections: usize) -> Case {
    const BARS: &[Bar] = &[
        of(Metric::Deliveries, 0.9, Against::Bare),
        of(Metric::Deliveries, 1.0, Against::One(Kind::Axum)),
        of(Metric::P99, 2.0, Against::Bare),
    ];
    case(name, title, Metric::Deliveries, Question::ChannelsClosed(Pace::OneEach, connections), BARS)
}

/// Returns the case of one point of a plotted line.
const fn growth(name: &'static str, title: &'static str, question: Question) -> Case {
    case(name, title, Metric::Cpu, question, &[])
}

const fn case(name: &'static str, title: &'static str, main: Metric, question: Question, bars: &'static [Bar]) -> Case {
    Case { name, title, main, bars, question, of_flask: false }
}

const fn of_flask(case: Case) -> Case {
    Case { of_flask: true, ..case }
}

/// All cases.
pub(crate) const ALL: &[Case] = &[
    case(
        "idle-5000",
        "5,000 idle connections",
        Metric::KibEach,
        Question::Idle { connections: 5_000 },
        &[of(Metric::MibAfter, 1.2, Against::Own(Metric::MibBefore))],
    ),
    case(
        "idle-15000",
        "15,000 idle connections",
        Metric::KibEach,
        Question::Idle { connections: 15_000 },
        &[at_most(Metric::KibEach, 0.3), of(Metric::MibAfter, 1.2, Against::Own(Metric::MibBefore))],
    ),
    case(
        "paced-1000",
        "1,000 subscribers × 100/s, 64 B",
        Metric::Cpu,
        Question::Paced { subscribers: 1_000, per_second: 100 },
        &[of(Metric::Cpu, 1.1, Against::Bare), of(Metric::P99, 1.0, Against::BestPeer)],
    ),
    case(
        "paced-10000",
        "10,000 subscribers × 10/s, 64 B",
        Metric::Cpu,
        Question::Paced { subscribers: 10_000, per_second: 10 },
        &[of(Metric::Cpu, 1.1, Against::Bare), of(Metric::P99, 1.0, Against::BestPeer)],
    ),
    case(
        "closed-100",
        "Closed loop, 100 subscribers, 64 B",
        Metric::Deliveries,
        Question::ClosedLoop { subscribers: 100, data_bytes: 64 },
        &[of(Metric::Deliveries, 1.0, Against::One(Kind::BareCoalescing))],
    ),
    case(
        "closed-1000",
        "Closed loop, 1,000 subscribers, 64 B",
        Metric::Deliveries,
        Question::ClosedLoop { subscribers: 1_000, data_bytes: 64 },
        &[
            of(Metric::Deliveries, 0.9, Against::One(Kind::BareCoalescing)),
            of(Metric::Deliveries, 3.0, Against::BestPeer),
        ],
    ),
    case(
        "closed-100-1k",
        "Closed loop, 100 subscribers, 1 KiB",
        Metric::Deliveries,
        Question::ClosedLoop { subscribers: 100, data_bytes: 1_024 },
        &[of(Metric::Deliveries, 0.9, Against::One(Kind::BareCoalescing))],
    ),
    case(
        "closed-1000-1k",
        "Closed loop, 1,000 subscribers, 1 KiB",
        Metric::Deliveries,
        Question::ClosedLoop { subscribers: 1_000, data_bytes: 1_024 },
        &[of(Metric::Deliveries, 0.9, Against::One(Kind::BareCoalescing))],
    ),
    case(
        "channels-paced",
        "5,000 channels × 2 subscribers, 2,000 publishes/s",
        Metric::Cpu,
        Question::ChannelsPaced { channels: channels::CHANNELS },
        &[of(Metric::Cpu, 1.2, Against::Bare), of(Metric::P99, 1.0, Against::BestPeer)],
    ),
    case(
        "channels-closed",
        "5,000 channels × 2 subscribers, closed loop",
        Metric::Publishes,
        Question::ChannelsClosed(Pace::InFlight(closed_loop::AHEAD), 1),
        &[of(Metric::Publishes, 0.9, Against::Bare), of(Metric::Publishes, 1.3, Against::BestPeer)],
    ),
    case(
        "several",
        "1,000 subscribers on 3 channels each, closed loop",
        Metric::Deliveries,
        Question::Several,
        &[of(Metric::Deliveries, 0.5, Against::Own(Metric::DeliveriesOnOne))],
    ),
    small_channels("channels-closed-1", "5,000 channels × 2 subscribers, 1 publishing connection", 1),
    small_channels("channels-closed-4", "5,000 channels × 2 subscribers, 4 publishing connections", 4),
    small_channels("channels-closed-16", "5,000 channels × 2 subscribers, 16 publishing connections", 16),
    case(
        "growth-readers-10",
        "10 subscribers × 5,000/s, 64 B",
        Metric::Cpu,
        Question::Paced { subscribers: 10, per_second: 5_000 },
        &[of(Metric::Cpu, 1.15, Against::Bare)],
    ),
    growth(
        "growth-readers-100",
        "100 subscribers × 500/s, 64 B",
        Question::Paced { subscribers: 100, per_second: 500 },
    ),
    growth(
        "growth-readers-1000",
        "1,000 subscribers × 50/s, 64 B",
        Question::Paced { subscribers: 1_000, per_second: 50 },
    ),
    growth(
        "growth-readers-10000",
        "10,000 subscribers × 5/s, 64 B",
        Question::Paced { subscribers: 10_000, per_second: 5 },
    ),
    growth(
        "growth-channels-100",
        "100 channels × 2 subscribers, 2,000 publishes/s",
        Question::ChannelsPaced { channels: 100 },
    ),
    growth(
        "growth-channels-1000",
        "1,000 channels × 2 subscribers, 2,000 publishes/s",
        Question::ChannelsPaced { channels: 1_000 },
    ),
    growth(
        "growth-channels-7000",
        "7,000 channels × 2 subscribers, 2,000 publishes/s",
        Question::ChannelsPaced { channels: 7_000 },
    ),
    connects("connects-1000", "1,000 connects/s", Arrivals::PerSecond(1_000), None),
    connects("connects-5000", "5,000 connects/s", Arrivals::PerSecond(5_000), None),
    connects("connects-at-once", "10,000 connects at once", Arrivals::AtOnce(10_000), None),
    connects("connects-1000-resuming", "1,000 resumed streams/s", Arrivals::PerSecond(1_000), Some(0)),
    connects("connects-5000-resuming", "5,000 resumed streams/s", Arrivals::PerSecond(5_000), Some(0)),
    connects("connects-at-once-resuming", "10,000 resumed streams at once", Arrivals::AtOnce(10_000), Some(0)),
    case(
        "resume-100",
        "2,000 streams at once, resumed 100 events behind",
        Metric::CpuOfConnects,
        Question::Connects { arrivals: Arrivals::AtOnce(2_000), behind: Some(100) },
        &[at_most(Metric::CpuOfConnects, 60.0)],
    ),
    case("publish-1", "Publishing, 1 in flight", Metric::Publishes, Question::Publish { in_flight: 1 }, &[]),
    case("publish-64", "Publishing, 64 in flight", Metric::Publishes, Question::Publish { in_flight: 64 }, &[]),
    case(
        "publish-forms-1",
        "Publishing in every form, 1 in flight: CPU µs an event",
        Metric::CpuOfForm(Form::Json),
        Question::PublishForms { burst: 1 },
        &[
            at_most(Metric::WorstForm, 1.2),
            of(Metric::CpuOfForm(Form::Split), 1.2, Against::Bare),
            of(Metric::CpuOfForm(Form::Close), 1.2, Against::Bare),
            of(Metric::CpuOfForm(Form::Expect), 1.2, Against::Bare),
        ],
    ),
    case(
        "publish-forms-16",
        "Publishing in every form, 16 requests written at once: CPU µs an event",
        Metric::CpuOfForm(Form::Json),
        Question::PublishForms { burst: 16 },
        &[at_most(Metric::WorstForm, 1.2)],
    ),
    case("encode-64", "In the program, text of 64 B", Metric::PublishNanos, Question::Encode(Sample::Text(64)), &[]),
    case(
        "encode-1k",
        "In the program, text of 1 KiB",
        Metric::PublishNanos,
        Question::Encode(Sample::Text(1_024)),
        &[],
    ),
    case("encode-json", "In the program, JSON of 55 B", Metric::PublishNanos, Question::Encode(Sample::Json), &[]),
    of_flask(case(
        "flask-500",
        "A Flask program with 500 listeners × 20/s, 64 B",
        Metric::Cpu,
        Question::Flask { subscribers: 500, per_second: 20 },
        &[
            of(Metric::MibAt, 1.0, Against::BestPeer),
            of(Metric::Cpu, 1.0, Against::BestPeer),
            of(Metric::P99, 1.0, Against::BestPeer),
            // Two connections of each worker.
            at_most(Metric::RedisConnections, 4.0),
        ],
    )),
    of_flask(case(
        "flask-closed-500",
        "A Flask program with 500 listeners, closed loop, 64 B",
        Metric::Deliveries,
        Question::ClosedLoop { subscribers: 500, data_bytes: 64 },
        &[of(Metric::Deliveries, 1.0, Against::BestPeer)],
    )),
];

/// The cases in which servers are measured without history too.
const LIVE: [&str; 7] =
    ["idle-5000", "paced-1000", "paced-10000", "closed-100", "closed-1000", "channels-paced", "connects-1000"];

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
