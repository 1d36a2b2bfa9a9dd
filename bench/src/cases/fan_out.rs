//! How long an event takes from a publisher to every subscriber, over real sockets, and what that costs the server.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{
    Effort,
    hubs::{Kind, Programs},
    load::{Load, Outcome},
    report::{Report, Table, median},
};

const SUBSCRIBERS: [usize; 3] = [1, 100, 1_000];

/// A hundred events a second.
const EVERY: Duration = Duration::from_millis(10);

const COLUMNS: &[&str] = &[
    "subscribers",
    "hub",
    "p50 µs",
    "p99 µs",
    "lost",
    "doubled",
    "reordered",
    "CPU s per million deliveries",
    "p50 : by hand",
    "p99 : by hand",
    "CPU : by hand",
];

/// The rounds of one hub.
#[derive(Debug, Default)]
struct Rounds {
    p50: Vec<f64>,
    p99: Vec<f64>,
    cpu: Duration,
    deliveries: usize,
    lost: usize,
    doubled: usize,
    reordered: usize,
}

pub(crate) fn run(effort: Effort, report: &mut Report) -> Result<()> {
    let programs = Programs::find()?;
    let mut table = Table::new("Publish to receive, 64 B, 100 events a second", COLUMNS);
    for subscribers in SUBSCRIBERS {
        let mut all = Kind::ALL.map(|_| Rounds::default());
        // Interleaved, so that what else happens on the machine happens to both.
        for _ in 0..effort.rounds {
            for (kind, rounds) in Kind::ALL.into_iter().zip(&mut all) {
                let began = Instant::now();
                let round = round(&programs, kind, subscribers, effort.events);
                let (outcome, cpu) = round.with_context(|| format!("{} with {subscribers}", kind.name()))?;
                rounds.add(outcome, cpu);
                eprintln!("{}, {subscribers} subscriber(s): {:.1?}", kind.name(), began.elapsed());
            }
        }
        let by_hand = Kind::ALL.iter().position(|kind| *kind == Kind::ByHand).map(|at| all[at].figures());
        for (kind, rounds) in Kind::ALL.into_iter().zip(&all) {
            let figures = rounds.figures();
            let mut row = vec![subscribers.into(), kind.name().into(), rounded(figures[0]), rounded(figures[1])];
            row.extend([rounds.lost, rounds.doubled, rounds.reordered].map(Value::from));
            row.push(rounded(figures[2]));
            let ratios = by_hand.map(|peer| [0, 1, 2].map(|at| rounded(figures[at] / peer[at])));
            row.extend(ratios.unwrap_or_default());
            table.row(row);
        }
    }
    report.add(table);
    Ok(())
}

fn round(programs: &Programs, kind: Kind, subscribers: usize, events: usize) -> Result<(Outcome, Duration)> {
    let hub = programs.start(kind)?;
    let mut load = Load::connect(hub.address, subscribers)?;
    load.warm_up(EVERY)?;
    let before = hub.cpu_time()?;
    let outcome = load.run(events, EVERY)?;
    Ok((outcome, hub.cpu_time()?.saturating_sub(before)))
}

impl Rounds {
    fn add(&mut self, mut outcome: Outcome, cpu: Duration) {
        self.p50.push(outcome.latency_us(0.5));
        self.p99.push(outcome.latency_us(0.99));
        self.cpu += cpu;
        self.deliveries += outcome.deliveries();
        self.lost += outcome.lost;
        self.doubled += outcome.doubled;
        self.reordered += outcome.reordered;
    }

    /// The medians of p50 and p99, and processor seconds per million deliveries: those of all rounds together, because
    /// the system counts that time in hundredths of a second.
    fn figures(&self) -> [f64; 3] {
        let cpu = self.cpu.as_secs_f64() * 1e6 / self.deliveries as f64;
        [median(self.p50.iter().copied()), median(self.p99.iter().copied()), cpu]
    }
}

/// Two decimals: more would say more than was measured.
fn rounded(value: f64) -> Value {
    if value.is_finite() { ((value * 100.0).round() / 100.0).into() } else { Value::Null }
}
