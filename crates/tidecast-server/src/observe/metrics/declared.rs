//! Declares every metric of the hub: name, type, unit, label, meaning, alert and current value. A broker declares its own.
//!
//! A scrape and `docs/metrics.md` are made from the same list. After a change, `cargo xtask docs` writes the page.

use tidecast::broker::{Metric, MetricValue};

use super::{Scrape, StreamRejection, load};

/// The prefix of every name.
pub(super) const PREFIX: &str = "tidecast";

/// Returns the metrics of every hub.
pub(super) fn hub_metrics(scrape: &Scrape) -> Vec<Metric> {
    let Scrape { stats, counters, connections, .. } = scrape;
    let refused = |why: StreamRejection| load(&counters.stream_rejections[why as usize]);
    vec![
        Metric::counter(
            "events_published",
            "Events appended to the logs of this hub, from every source",
            stats.published,
        ),
        Metric::counter(
            "events_repeated",
            "Publishes that repeated an idempotency key, and added no event",
            stats.repeated,
        ),
        Metric::counter("publishes_failed", "Publishes that the broker refused or did not answer", stats.failed).alert(
            "rate(tidecast_publishes_failed_total[5m]) > 0",
            "Publishers get 503. `/readyz` and the log have the cause.",
        ),
        Metric::counter("events_delivered", "Events handed to subscriptions", stats.delivered),
        Metric::counter("delivered", "Size of the events handed to subscriptions", stats.delivered_bytes)
            .unit("bytes"),
        Metric::counter(
            "logs_evicted",
            "Logs that lost their events because all logs reached `logs_bytes`",
            stats.logs_evicted,
        )
        .alert(
            "increase(tidecast_logs_evicted_total[15m]) > 0",
            "Clients that reconnect to these channels are told `expired`. Raise `logs_bytes`, or lower `log_events`, \
             `log_bytes` or `log_age`.",
        ),
        Metric::counter("subscriptions_opened", "Subscriptions since the hub started", stats.subscribed),
        Metric::gauge("subscriptions", "Subscriptions now", stats.subscriptions),
        Metric::gauge("streams", "Streams now", scrape.streams),
        Metric::labeled_counter(
            "streams_refused",
            "Streams whose client was told to reconnect later",
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
            "Clients wait for a stream. Raise `streams_max` (`full`), `streams_per_client_max` (`client-full`) or \
             `read_channels_max` (`channels-full`), or add a hub.",
        ),
        Metric::labeled_counter(
            "requests_refused",
            "Requests refused for their rights: 401 for a key or ticket that is missing, wrong or expired, 403 for a host, \
             an origin or a channel that is not in the ticket, 429 for too many wrong keys (`guessing`)",
            "cause",
            counters.refusals(),
        )
        .alert(
            "increase(tidecast_requests_refused_total{cause=\"guessing\"}[5m]) > 0",
            "An address has sent more than ten wrong keys within a minute: a program with an old key, or an attack. The \
             log names the address.",
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
        Metric::counter("connections_accepted", "Connections since the hub started", load(&connections.accepted)),
        Metric::gauge("connections", "Connections now", connections.open()),
        Metric::labeled_counter(
            "connections_closed",
            "Connections closed by the hub: the longest idle one, to make room (`idle`); beyond \
             `connections_per_client_max` (`client-full`); sending data after the request for a stream (`input`)",
            "reason",
            [
                ("idle", load(&connections.closed_idle)),
                ("client-full", load(&connections.closed_client_full)),
                ("input", load(&connections.closed_input)),
            ],
        )
        .alert(
            "rate(tidecast_connections_closed_total{reason=\"idle\"}[5m]) > 1",
            "The connections have reached `connections_max`: a client opens very many, or the limit is too low.",
        ),
        Metric::counter(
            "connections_detached",
            "Streams handed to a reactor with their connection",
            load(&connections.detached),
        ),
        Metric::counter(
            "connections_stalled",
            "Connections cut because the client read nothing for `stall_timeout`, or too little after its stream's lifetime",
            load(&connections.stalled),
        )
        .alert(
            "increase(tidecast_connections_stalled_total[15m]) > 0.05 * tidecast_connections",
            "Many clients do not read: check the network, or the proxy in front of the hub.",
        ),
        Metric::gauge("channels", "Channels known now", stats.channels),
        Metric::gauge("log_events", "Events in logs now", stats.log_events),
        Metric::gauge("logs", "Memory used by all logs now", stats.logs_bytes).unit("bytes"),
        Metric::counter(
            "tasks_restarted",
            "Tasks of the hub that were restarted after a panic",
            scrape.tasks_restarted,
        )
        .alert("increase(tidecast_tasks_restarted_total[15m]) > 0", "A bug: the log has the panic. Please report it."),
        Metric::counter(
            "log_lines_dropped",
            "Log lines dropped because standard error was blocked or closed",
            scrape.log_lines_dropped,
        )
        .alert(
            "increase(tidecast_log_lines_dropped_total[15m]) > 0",
            "The program that reads the hub's standard error has ended or is too slow, or its disk is full.",
        ),
    ]
}

/// Returns the name of a metric's lines in a scrape.
pub(super) fn full_name(metric: &Metric) -> String {
    let unit = metric.unit.map_or_else(String::new, |unit| format!("_{unit}"));
    let total = if matches!(metric.value, MetricValue::Gauge(_)) { "" } else { "_total" };
    format!("{PREFIX}_{}{unit}{total}", metric.name)
}
