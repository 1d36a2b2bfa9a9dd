//! The metrics: counters of requests and streams, and the text of a scrape.
//!
//! [`declared`] declares the metrics of the hub, a broker declares its own. `docs/metrics.md` ([`page`]) is made of the same
//! declarations.

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
    registry::{self, Registry},
};
use tidecast::{
    Stats,
    broker::{Metric, MetricValue},
};
use tidecast_serve::ConnectionCounters;

use self::declared::PREFIX;
pub(crate) use self::page::page;
use crate::auth::RefusalCause;

/// The media type of a scrape.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Counters of refused requests and streams.
#[derive(Debug, Default)]
pub(crate) struct RequestCounters {
    stream_rejections: [AtomicU64; 3],
    refusals: [AtomicU64; RefusalCause::ALL.len()],
}

/// Why a client was told to open its stream later.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StreamRejection {
    /// There are `streams_max` streams.
    Full,
    /// The client has reached a limit per client.
    ClientFull,
    /// The hub is stopping.
    Ending,
}

impl RequestCounters {
    pub(crate) fn count_stream_rejection(&self, why: StreamRejection) {
        self.stream_rejections[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_refusal(&self, cause: RefusalCause) {
        self.refusals[cause as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of refused requests by the label of the cause.
    pub(crate) fn refusals(&self) -> Vec<(&'static str, u64)> {
        RefusalCause::ALL.into_iter().map(|cause| (cause.label(), load(&self.refusals[cause as usize]))).collect()
    }
}

/// The numbers that the hub's metrics are read from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scrape {
    pub(crate) stats: Stats,
    pub(crate) streams: u64,
    pub(crate) tasks_restarted: u64,
    pub(crate) log_lines_dropped: u64,
    pub(crate) counters: Arc<RequestCounters>,
    pub(crate) connections: Arc<ConnectionCounters>,
}

/// Returns the text of a scrape: the hub's metrics, then those of its broker.
pub(crate) fn render(scrape: &Scrape, broker: Vec<Metric>) -> Result<String, fmt::Error> {
    let mut metrics = declared::hub_metrics(scrape);
    metrics.extend(broker);
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Snapshot(metrics)));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

#[derive(Debug)]
struct Snapshot(Vec<Metric>);

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|metric| encode(&mut encoder, metric))
    }
}

fn encode(encoder: &mut DescriptorEncoder<'_>, metric: &Metric) -> fmt::Result {
    // The encoder appends the unit to the name, and `_total` to that of a counter.
    let unit = metric.unit.map(|unit| registry::Unit::Other(unit.to_owned()));
    let mut write = |values: &dyn EncodeMetric| {
        let metric_type = values.metric_type();
        values.encode(encoder.encode_descriptor(metric.name, metric.help, unit.as_ref(), metric_type)?)
    };
    match &metric.value {
        MetricValue::Counter(count) => write(&ConstCounter::new(*count)),
        MetricValue::LabeledCounter { label, counts } => {
            let family = Family::<[(&str, &str); 1], Counter>::default();
            for (value, count) in counts {
                family.get_or_create(&[(label, value)]).inc_by(*count);
            }
            write(&family)
        }
        MetricValue::Gauge(value) => write(&ConstGauge::new(i64::try_from(*value).unwrap_or(i64::MAX))),
    }
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
