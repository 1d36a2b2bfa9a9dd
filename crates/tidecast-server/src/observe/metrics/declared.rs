//! The declaration of every metric: its name, type, unit, label and meaning, the alert that it is worth, and where its
//! number is read.
//!
//! A metric is declared here and nowhere else. A scrape and `docs/metrics.md` are both made from these tables; after a
//! change of them, `cargo xtask docs` writes the page.

use prometheus_client::registry;
use tidecast_redis::RedisStats;

use super::{Closed, Scrape, StreamRejection, load};

/// The prefix of every name.
pub(super) const PREFIX: &str = "tidecast";

type Hub = Metric<Scrape>;
type Redis = Metric<RedisStats>;

/// The metrics of every hub.
pub(super) const HUB: &[Hub] = &[
    Hub::counter("events_published", "Events appended to this hub's logs, from wherever they came", |hub| {
        hub.stats.published
    }),
    Hub::counter("events_repeated", "Publishes answered from an idempotency key, without a new event", |hub| {
        hub.stats.repeated
    }),
    Hub::counter("publishes_failed", "Publishes that the broker refused or did not answer", |hub| hub.stats.failed)
        .alert(
            "rate(tidecast_publishes_failed_total[5m]) > 0",
            "Publishers get 503. `/readyz` and the log have the reason.",
        ),
    Hub::counter("events_delivered", "Events handed to subscriptions", |hub| hub.stats.delivered),
    Hub::counter("delivered", "Bytes of the events handed to subscriptions", |hub| hub.stats.delivered_bytes)
        .unit(Unit::Bytes),
    Hub::counter("logs_evicted", "Logs that lost their events because all logs together reached `logs_bytes`", |hub| {
        hub.stats.logs_evicted
    })
    .alert(
        "increase(tidecast_logs_evicted_total[15m]) > 0",
        "Clients that reconnect to these channels are told `expired`. Raise `logs_bytes`, or lower `log_events`, \
         `log_bytes` or `log_age`.",
    ),
    Hub::counter("subscriptions_opened", "Subscriptions since the start", |hub| hub.stats.subscribed),
    Hub::gauge("subscriptions", "Subscriptions now", |hub| hub.stats.subscriptions),
    Hub::gauge("streams", "Streams now", |hub| hub.streams),
    Hub::counter_by("streams_refused", "Streams told to come back later", "reason", |hub| {
        [("full", StreamRejection::Full), ("client-full", StreamRejection::ClientFull), ("ending", StreamRejection::Ending)]
            .map(|(reason, refused)| (reason, load(&hub.counters.refused[refused as usize])))
            .into_iter()
            .chain([("channels-full", hub.stats.subscribes_refused)])
            .collect()
    })
    .alert(
        "increase(tidecast_streams_refused_total{reason=~\".*full\"}[5m]) > 0",
        "Clients wait for a place. Raise `streams_max` (`full`), `streams_per_client_max` (`client-full`) or \
         `read_channels_max` (`channels-full`), or add a hub.",
    ),
    Hub::counter_by(
        "requests_refused",
        "Requests refused for who asks: 401 for a key or ticket that is missing, wrong or expired, 403 for a host, an origin \
         or a channel that is not in the ticket, 429 for wrong keys after too many (`guessing`)",
        "cause",
        |hub| hub.counters.refusals(),
    )
    .alert(
        "increase(tidecast_requests_refused_total{cause=\"guessing\"}[5m]) > 0",
        "An address has sent more than ten wrong keys within a minute: a program with an old key, or somebody who \
         guesses. The log names the address.",
    ),
    Hub::counter_by("resets", "`stream-reset` events sent", "reason", |hub| {
        vec![
            ("expired", hub.stats.resets_expired),
            ("restarted", hub.stats.resets_restarted),
            ("unknown-id", hub.stats.resets_unknown_id),
            ("too-slow", hub.stats.resets_too_slow),
            ("ambiguous-id", hub.stats.resets_ambiguous_id),
        ]
    })
    .alert(
        "increase(tidecast_resets_total{reason=~\"expired|too-slow\"}[15m]) > 0",
        "Clients missed events that were no longer retained. Raise `log_events`, `log_bytes` or `log_age`, or \
         `redis_history_events` and `redis_history_age`.",
    ),
    Hub::counter("connections_accepted", "Connections since the start", |hub| load(&hub.counters.accepted)),
    Hub::gauge("connections", "Connections now", |hub| hub.counters.connections()),
    Hub::counter_by("connections_closed", "Connections closed by the hub: idle for longest when another needed the place; beyond `connections_per_client_max`; sending behind the request for a stream", "reason", |hub| {
        [("idle", Closed::Idle), ("client-full", Closed::ClientFull), ("input", Closed::Input)]
            .map(|(reason, closed)| (reason, load(&hub.counters.closed[closed as usize])))
            .into()
    })
    .alert(
        "rate(tidecast_connections_closed_total{reason=\"idle\"}[5m]) > 1",
        "All connections are taken: a client opens very many, or `connections_max` is too low.",
    ),
    Hub::counter("connections_detached", "Streams handed to a reactor with their connection", |hub| {
        load(&hub.counters.detached)
    }),
    Hub::counter("connections_stalled", "Connections cut because the client took nothing for `stall_timeout`", |hub| {
        load(&hub.counters.stalled)
    })
    .alert(
        "increase(tidecast_connections_stalled_total[15m]) > 0.05 * tidecast_connections",
        "Many clients take nothing: look at the network or at the proxy in front of the hub.",
    ),
    Hub::gauge("channels", "Channels known now", |hub| hub.stats.channels),
    Hub::gauge("log_events", "Events in logs now", |hub| hub.stats.log_events),
    Hub::gauge("logs", "Memory of all logs now", |hub| hub.stats.logs_bytes).unit(Unit::Bytes),
    Hub::counter("tasks_restarted", "Tasks of the hub that panicked and were started again", |hub| hub.tasks_restarted)
        .alert("increase(tidecast_tasks_restarted_total[15m]) > 0", "A bug: the log has the panic. Please report it."),
    Hub::counter("log_lines_dropped", "Log lines that standard error did not take in time", |hub| {
        hub.log_lines_dropped
    })
    .alert(
        "increase(tidecast_log_lines_dropped_total[15m]) > 0",
        "The program that reads the hub's standard error is gone or too slow, or its disk is full.",
    ),
];

/// The metrics of a hub whose broker is on Redis.
pub(super) const REDIS: &[Redis] = &[
    Redis::gauge("redis_connected", "1 while every listening connection stands, else 0", |redis| {
        redis.connected.into()
    })
    .alert(
        "max_over_time(tidecast_redis_connected[1m]) == 0",
        "What is published elsewhere does not arrive until Redis is back. The log has the reason.",
    ),
    Redis::counter("redis_reconnects", "Times that a listening connection was lost and made again", |redis| {
        redis.reconnects
    }),
    Redis::counter("redis_gaps_filled", "Times that a log was filled from Redis' history after a gap", |redis| {
        redis.gaps_filled
    }),
    Redis::gauge("redis_channels_subscribed", "Channels that this hub listens to now", |redis| {
        redis.subscribed_channels
    }),
    Redis::counter("redis_foreign_events", "Events without a position, as Flask-SSE publishes them", |redis| {
        redis.foreign
    }),
    Redis::counter("redis_poison_payloads", "Payloads that are no event, which were skipped", |redis| redis.poison)
        .alert(
            "increase(tidecast_redis_poison_payloads_total[15m]) > 0",
            "Another program publishes something else on these channels. The log names a channel.",
        ),
    Redis::counter("redis_elsewhere_events", "Events of another database or prefix, which were skipped", |redis| {
        redis.elsewhere
    }),
    Redis::counter(
        "redis_overflowed_events",
        "Events that arrived while a log was being filled and could not be held back: those with a position are read \
         from the history, those without are lost",
        |redis| redis.overflowed,
    )
    .alert(
        "increase(tidecast_redis_overflowed_events_total[15m]) > 0",
        "Events of programs other than Tidecast may be lost: they come faster than channels are filled.",
    ),
    Redis::counter(
        "redis_conflicting_events",
        "Events that arrived at a position at which another one is: somebody else published with it",
        |redis| redis.conflicting,
    )
    .alert(
        "increase(tidecast_redis_conflicting_events_total[15m]) > 0",
        "Somebody with the right to PUBLISH forges positions, or two servers take turns behind one address.",
    ),
    Redis::counter("redis_task_restarts", "Tasks that should run for ever, ended, and were started again", |redis| {
        redis.task_restarts
    }),
];

/// A metric, read from the numbers `S` of a scrape.
#[derive(Debug)]
pub(super) struct Metric<S> {
    /// Without the prefix, the unit and a counter's `_total`.
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) unit: Option<Unit>,
    pub(super) alert: Option<Alert>,
    pub(super) value: Value<S>,
}

/// A metric's type, and how its value is read.
#[derive(Debug)]
pub(super) enum Value<S> {
    Counter(fn(&S) -> u64),
    /// A label's name, and a count for each of its values. The values are the same in each scrape.
    CounterBy(&'static str, fn(&S) -> Vec<(&'static str, u64)>),
    Gauge(fn(&S) -> u64),
}

/// The unit of a metric that is no plain number.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unit {
    Bytes,
}

/// An alert on a metric.
#[derive(Debug)]
pub(super) struct Alert {
    /// In PromQL.
    pub(super) expression: &'static str,
    /// What has happened, and what to do about it.
    pub(super) meaning: &'static str,
}

impl<S> Metric<S> {
    /// Returns the name of its lines in a scrape.
    pub(super) fn full_name(&self) -> String {
        let unit = self.unit.map_or_else(String::new, |unit| format!("_{}", unit.of_the_exposition().as_str()));
        let total = if matches!(self.value, Value::Gauge(_)) { "" } else { "_total" };
        format!("{PREFIX}_{}{unit}{total}", self.name)
    }

    const fn counter(name: &'static str, help: &'static str, read: fn(&S) -> u64) -> Self {
        Self::new(name, help, Value::Counter(read))
    }

    const fn counter_by(
        name: &'static str,
        help: &'static str,
        label: &'static str,
        read: fn(&S) -> Vec<(&'static str, u64)>,
    ) -> Self {
        Self::new(name, help, Value::CounterBy(label, read))
    }

    const fn gauge(name: &'static str, help: &'static str, read: fn(&S) -> u64) -> Self {
        Self::new(name, help, Value::Gauge(read))
    }

    const fn new(name: &'static str, help: &'static str, value: Value<S>) -> Self {
        Self { name, help, unit: None, alert: None, value }
    }

    const fn unit(self, unit: Unit) -> Self {
        Self { unit: Some(unit), ..self }
    }

    const fn alert(self, expression: &'static str, meaning: &'static str) -> Self {
        Self { alert: Some(Alert { expression, meaning }), ..self }
    }
}

impl Unit {
    pub(super) fn of_the_exposition(self) -> &'static registry::Unit {
        static BYTES: registry::Unit = registry::Unit::Bytes;
        match self {
            Self::Bytes => &BYTES,
        }
    }
}
