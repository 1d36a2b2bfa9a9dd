//! The list of all cases, and the bars that Tidecast must reach.

use super::{Case, Question, channels, closed_loop, connects::Arrivals, encode::Sample};
use crate::{
    figures::{Against, Bar, Metric},
    load::{Pace, form::Form},
    servers::Kind,
};

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
pub(super) const LIVE: [&str; 7] =
    ["idle-5000", "paced-1000", "paced-10000", "closed-100", "closed-1000", "channels-paced", "connects-1000"];
