//! The hub's metrics: counting what happens to connections, and the text of a scrape.
//!
//! The metrics themselves are declared in [`declared`], which also counts for `docs/metrics.md` ([`page`]).

mod declared;
mod page;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text},
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::ConstGauge,
    },
    registry::Registry,
};
use tidecast::Stats;
use tidecast_redis::RedisStats;

use self::declared::{HUB, Metric, PREFIX, REDIS, Unit, Value};
pub(crate) use self::page::page;
use crate::auth::refusal::Cause;

/// The media type of what [`render`] writes.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is counted of connections.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    accepted: AtomicU64,
    ended: AtomicU64,
    stalled: AtomicU64,
    detached: AtomicU64,
    refused: [AtomicU64; 3],
    refusals: [AtomicU64; Cause::ALL.len()],
    closed: [AtomicU64; 3],
}

/// Why a stream was told to come back later.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StreamRejection {
    /// All places are taken.
    Full,
    /// All places of one client are taken.
    ClientFull,
    /// The hub is stopping.
    Ending,
}

/// Why a connection was closed that did nothing wrong by HTTP.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Closed {
    /// It had been idle for longest when another needed its place.
    Idle,
    /// Its client has as many as it may.
    ClientFull,
    /// Its client went on sending behind the request for a stream.
    Input,
}

impl Counters {
    pub(crate) fn count_accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_ended(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_closed(&self, why: Closed) {
        self.closed[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_detached(&self) {
        self.detached.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_stalled(&self) {
        self.stalled.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_stream_rejection(&self, why: StreamRejection) {
        self.refused[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_refusal(&self, cause: Cause) {
        self.refusals[cause as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many requests were refused for each cause, by its label.
    pub(crate) fn refusals(&self) -> Vec<(&'static str, u64)> {
        Cause::ALL.into_iter().map(|cause| (cause.label(), load(&self.refusals[cause as usize]))).collect()
    }

    /// Returns the number of connections that have not ended.
    fn connections(&self) -> u64 {
        // The ended ones are read first, so that they never outnumber the accepted ones.
        let ended = load(&self.ended);
        load(&self.accepted).saturating_sub(ended)
    }
}

/// The numbers that the hub's metrics are read from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scrape {
    pub(crate) stats: Stats,
    pub(crate) streams: u64,
    pub(crate) tasks_restarted: u64,
    pub(crate) log_lines_dropped: u64,
    pub(crate) counters: Arc<Counters>,
}

/// Returns the text of a scrape. `redis` is `None` if the hub's broker is in memory.
pub(crate) fn render(scrape: Scrape, redis: Option<RedisStats>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Snapshot { declared: HUB, scrape }));
    if let Some(redis) = redis {
        registry.register_collector(Box::new(Snapshot { declared: REDIS, scrape: redis }));
    }
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

/// Declarations, and the numbers that they are read from.
#[derive(Debug)]
struct Snapshot<S: 'static> {
    declared: &'static [Metric<S>],
    scrape: S,
}

impl<S: fmt::Debug + Send + Sync> Collector for Snapshot<S> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.declared.iter().try_for_each(|metric| put(&mut encoder, metric, &self.scrape))
    }
}

fn put<S>(encoder: &mut DescriptorEncoder<'_>, metric: &Metric<S>, scrape: &S) -> fmt::Result {
    let mut write = |values: &dyn EncodeMetric| {
        // The encoder appends the unit to the name, and `_total` to that of a counter.
        let unit = metric.unit.map(Unit::of_the_exposition);
        values.encode(encoder.encode_descriptor(metric.name, metric.help, unit, values.metric_type())?)
    };
    match metric.value {
        Value::Counter(read) => write(&ConstCounter::new(read(scrape))),
        Value::CounterBy(label, read) => {
            let family = Family::<[(&str, &str); 1], Counter>::default();
            for (value, count) in read(scrape) {
                family.get_or_create(&[(label, value)]).inc_by(count);
            }
            write(&family)
        }
        Value::Gauge(read) => write(&ConstGauge::new(i64::try_from(read(scrape)).unwrap_or(i64::MAX))),
    }
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
