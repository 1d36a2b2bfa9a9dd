//! What the hub tells Prometheus: the engine's own counters and those of the connections, read at each scrape.

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
    metrics::{counter::ConstCounter, family::Family, gauge::ConstGauge},
    registry::Registry,
};
use tidecast::Stats;
use tidecast_redis::RedisStats;

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
}

/// Why a stream was told to come back later.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Refused {
    /// All places are taken.
    Full,
    /// All places of one client are taken.
    ClientFull,
    /// The hub is stopping.
    Ending,
}

/// A connection, for as long as it lasts.
#[derive(Debug)]
pub(crate) struct Connection(Arc<Counters>);

impl Counters {
    pub(crate) fn connection(self: &Arc<Self>) -> Connection {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        Connection(self.clone())
    }

    pub(crate) fn count_detached(&self) {
        self.detached.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_stalled(&self) {
        self.stalled.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_refused(&self, why: Refused) {
        self.refused[why as usize].fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// The text of a scrape; `redis` is there where the hub's broker is on Redis.
pub(crate) fn render(
    stats: Stats,
    redis: Option<RedisStats>,
    streams: usize,
    counters: &Counters,
) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("tidecast");
    registry.register_collector(Box::new(Snapshot::of(stats, streams, counters)));
    if let Some(redis) = redis {
        registry.register_collector(Box::new(RedisSnapshot(redis)));
    }
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

/// The numbers of one scrape.
#[derive(Debug)]
struct Snapshot {
    stats: Stats,
    streams: u64,
    accepted: u64,
    ended: u64,
    stalled: u64,
    detached: u64,
    refused_full: u64,
    refused_client_full: u64,
    refused_ending: u64,
}

impl Snapshot {
    fn of(stats: Stats, streams: usize, counters: &Counters) -> Self {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // What has ended first, so that there are never fewer connections than none.
        let ended = load(&counters.ended);
        Self {
            stats,
            streams: streams as u64,
            accepted: load(&counters.accepted),
            ended,
            stalled: load(&counters.stalled),
            detached: load(&counters.detached),
            refused_full: load(&counters.refused[Refused::Full as usize]),
            refused_client_full: load(&counters.refused[Refused::ClientFull as usize]),
            refused_ending: load(&counters.refused[Refused::Ending as usize]),
        }
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stats = &self.stats;
        // The exposition format adds `_total` to the name of a counter by itself.
        let counters: [(&str, &str, u64); 10] = [
            ("events_published", "Events that were accepted", stats.published),
            ("events_repeated", "Publishes answered from an idempotency key", stats.repeated),
            ("publishes_failed", "Publishes that the broker refused", stats.failed),
            ("events_delivered", "Events handed to subscriptions", stats.delivered),
            ("delivered_bytes", "Bytes of the events handed to subscriptions", stats.delivered_bytes),
            ("logs_evicted", "Logs that lost their events to the bound of all logs", stats.logs_evicted),
            ("subscriptions_opened", "Subscriptions since the start", stats.subscribed),
            ("connections_accepted", "Connections since the start", self.accepted),
            ("connections_stalled", "Connections cut because the client took nothing", self.stalled),
            ("connections_detached", "Streams that were given to a reactor with their connection", self.detached),
        ];
        put_counters(&mut encoder, &counters)?;
        let gauges: [(&str, &str, u64); 6] = [
            ("subscriptions", "Subscriptions now", stats.subscriptions),
            ("streams", "Streams now", self.streams),
            ("connections", "Connections now", self.accepted.saturating_sub(self.ended)),
            ("channels", "Channels known now", stats.channels),
            ("log_events", "Events kept in logs now", stats.log_events),
            ("logs_bytes", "Memory of all logs now", stats.logs_bytes),
        ];
        put_gauges(&mut encoder, &gauges)?;
        put_by(
            &mut encoder,
            "resets",
            "Resets told to subscribers, by reason",
            "reason",
            &[
                ("expired", stats.resets_expired),
                ("restarted", stats.resets_restarted),
                ("unknown-id", stats.resets_unknown_id),
                ("too-slow", stats.resets_too_slow),
            ],
        )?;
        put_by(
            &mut encoder,
            "streams_refused",
            "Streams told to come back later, by reason",
            "reason",
            &[("full", self.refused_full), ("client-full", self.refused_client_full), ("ending", self.refused_ending)],
        )
    }
}

/// The numbers of Redis at one scrape. What was published and what failed is among the hub's own.
#[derive(Debug)]
struct RedisSnapshot(RedisStats);

impl Collector for RedisSnapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stats = &self.0;
        let counters: [(&str, &str, u64); 6] = [
            ("redis_reconnects", "Connections that listen, made after the first was lost", stats.reconnects),
            ("redis_gaps_filled", "Times that a log was filled from Redis' history after a gap", stats.gaps_filled),
            ("redis_foreign_events", "Events of programs that are not Tidecast", stats.foreign),
            ("redis_poison_payloads", "Payloads that are no event, which were passed over", stats.poison),
            ("redis_elsewhere_events", "Events of another database or prefix, which were passed over", stats.elsewhere),
            ("redis_overflowed_events", "Events that came while a log was filled and found no room", stats.overflowed),
        ];
        put_counters(&mut encoder, &counters)?;
        let gauges: [(&str, &str, u64); 2] = [
            ("redis_connected", "Whether the connection that listens stands now: 1 or 0", stats.connected.into()),
            ("redis_channels_subscribed", "Channels that are listened to now", stats.subscribed_channels),
        ];
        put_gauges(&mut encoder, &gauges)
    }
}

fn put_counters(encoder: &mut DescriptorEncoder<'_>, counters: &[(&str, &str, u64)]) -> fmt::Result {
    counters.iter().try_for_each(|(name, help, value)| put(encoder, name, help, &ConstCounter::new(*value)))
}

fn put_gauges(encoder: &mut DescriptorEncoder<'_>, gauges: &[(&str, &str, u64)]) -> fmt::Result {
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    gauges.iter().try_for_each(|(name, help, value)| put(encoder, name, help, &ConstGauge::new(signed(*value))))
}

fn put(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, metric: &impl EncodeMetric) -> fmt::Result {
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}

fn put_by(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &'static str,
    values: &[(&'static str, u64)],
) -> fmt::Result {
    let family = Family::<Vec<(&str, &str)>, prometheus_client::metrics::counter::Counter>::default();
    for (value, count) in values {
        family.get_or_create(&vec![(label, *value)]).inc_by(*count);
    }
    put(encoder, name, help, &family)
}
