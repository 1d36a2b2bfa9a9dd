//! The declaration of every metric of the hub: its name, type, unit, label and meaning, the alert that it is worth, and
//! its present value. A broker declares its own.
//!
//! A scrape and `docs/metrics.md` are both made from the same list. After a change, `cargo xtask docs` writes the page.

use tidecast::broker::{Metric, MetricValue};

use super::{Scrape, StreamRejection, load};

/// The prefix of every name.
pub(super) const PREFIX: &str = "tidecast";

/// Returns the metrics of every hub.
pub(super) fn hub_metrics(scrape: &Scrape) -> Vec<Metric> {
    let Scrape { stats, counters, connections, .. } = scrape;
    let refused = |why: StreamRejection| load(&counters.refused[why as usize]);
    vec![
        Metric::counter(
            "events_published",
            "Events appended to this hub's logs, from wherever they came",
            stats.published,
        ),
        Metric::counter(
            "events_repeated",
            "Publishes answered from an idempotency key, without a new event",
            stats.repeated,
        ),
        Metric::counter("publishes_failed", "Publishes that the broker refused or did not answer", stats.failed).alert(
            "rate(tidecast_publishes_failed_total[5m]) > 0",
            "Publishers get 503. `/readyz` and the log have the reason.",
        ),
        Metric::counter("events_delivered", "Events handed to subscriptions", stats.delivered),
        Metric::counter("delivered", "Bytes of the events handed to subscriptions", stats.delivered_bytes)
            .unit("bytes"),
        Metric::counter(
            "logs_evicted",
            "Logs that lost their events because all logs together reached `logs_bytes`",
            stats.logs_evicted,
        )
        .alert(
            "increase(tidecast_logs_evicted_total[15m]) > 0",
            "Clients that reconnect to these channels are told `expired`. Raise `logs_bytes`, or lower `log_events`, \
             `log_bytes` or `log_age`.",
        ),
        Metric::counter("subscriptions_opened", "Subscriptions since the start", stats.subscribed),
        Metric::gauge("subscriptions", "Subscriptions now", stats.subscriptions),
        Metric::gauge("streams", "Streams now", scrape.streams),
        Metric::labeled_counter(
            "streams_refused",
            "Streams told to come back later",
            "reason",
            [
                ("full", refused(StreamRejection::Full)),
                ("client-full", refused(StreamRejection::ClientFull)),
                ("ending", refused(StreamRejection::Ending)),
                ("channels-full", stats.subscribes_refused),
            ],
        )
        .alert(
            "increase(tidecast_streams_refused_total{reason=~\".*full\"}[5m]) > 0",
            "Clients wait for a place. Raise `streams_max` (`full`), `streams_per_client_max` (`client-full`) or \
             `read_channels_max` (`channels-full`), or add a hub.",
        ),
        Metric::labeled_counter(
            "requests_refused",
            "Requests refused for who asks: 401 for a key or ticket that is missing, wrong or expired, 403 for a host, \
             an origin or a channel that is not in the ticket, 429 for wrong keys after too many (`guessing`)",
            "cause",
            counters.refusals(),
        )
        .alert(
            "increase(tidecast_requests_refused_total{cause=\"guessing\"}[5m]) > 0",
            "An address has sent more than ten wrong keys within a minute: a program with an old key, or somebody who \
             guesses. The log names the address.",
        ),
        Metric::labeled_counter(
            "resets",
            "`stream-reset` events sent",
            "reason",
            [
                ("expired", stats.resets_expired),
                ("restarted", stats.resets_restarted),
                ("unknown-id", stats.resets_unknown_id),
                ("too-slow", stats.resets_too_slow),
                ("ambiguous-id", stats.resets_ambiguous_id),
            ],
        )
        .alert(
            "increase(tidecast_resets_total{reason=~\"expired|too-slow\"}[15m]) > 0",
            "Clients missed events that were no longer retained. Raise `log_events`, `log_bytes` or `log_age`, or \
             `redis_history_events` and `redis_history_age`.",
        ),
        Metric::counter("connections_accepted", "Connections since the start", load(&connections.accepted)),
        Metric::gauge("connections", "Connections now", connections.open()),
        Metric::labeled_counter(
            "connections_closed",
            "Connections closed by the hub: idle for longest when another needed the place; beyond \
             `connections_per_client_max`; sending behind the request for a stream",
            "reason",
            [
                ("idle", load(&connections.closed_idle)),
                ("client-full", load(&connections.closed_client_full)),
                ("input", load(&connections.closed_input)),
            ],
        )
        .alert(
            "rate(tidecast_connections_closed_total{reason=\"idle\"}[5m]) > 1",
            "All connections are taken: a client opens very many, or `connections_max` is too low.",
        ),
        Metric::counter(
            "connections_detached",
            "Streams handed to a reactor with their connection",
            load(&connections.detached),
        ),
        Metric::counter(
            "connections_stalled",
            "Connections cut because the client took nothing for `stall_timeout`",
            load(&connections.stalled),
        )
        .alert(
            "increase(tidecast_connections_stalled_total[15m]) > 0.05 * tidecast_connections",
            "Many clients take nothing: look at the network or at the proxy in front of the hub.",
        ),
        Metric::gauge("channels", "Channels known now", stats.channels),
        Metric::gauge("log_events", "Events in logs now", stats.log_events),
        Metric::gauge("logs", "Memory of all logs now", stats.logs_bytes).unit("bytes"),
        Metric::counter(
            "tasks_restarted",
            "Tasks of the hub that panicked and were started again",
            scrape.tasks_restarted,
        )
        .alert("increase(tidecast_tasks_restarted_total[15m]) > 0", "A bug: the log has the panic. Please report it."),
        Metric::counter(
            "log_lines_dropped",
            "Log lines that standard error did not take in time",
            scrape.log_lines_dropped,
        )
        .alert(
            "increase(tidecast_log_lines_dropped_total[15m]) > 0",
            "The program that reads the hub's standard error is gone or too slow, or its disk is full.",
        ),
    ]
}

/// Returns the name of a metric's lines in a scrape.
pub(super) fn full_name(metric: &Metric) -> String {
    let unit = metric.unit.map_or_else(String::new, |unit| format!("_{unit}"));
    let total = if matches!(metric.value, MetricValue::Gauge(_)) { "" } else { "_total" };
    format!("{PREFIX}_{}{unit}{total}", metric.name)
}
