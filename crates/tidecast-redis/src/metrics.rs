//! The metrics of the broker on Redis. The server exposes them with the prefix `tidecast_`.

use tidecast::broker::Metric;

use crate::stats::RedisStats;

impl RedisStats {
    /// Returns the numbers as metrics, in the order in which the server documents them.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        vec![
            Metric::gauge("redis_connected", "1 while every pub/sub connection is up, else 0", self.connected.into())
                .alert(
                    "max_over_time(tidecast_redis_connected[1m]) == 0",
                    "Events of other hubs do not arrive until Redis is back. The log has the reason.",
                ),
            Metric::counter("redis_reconnects", "Pub/sub connections that were lost and made again", self.reconnects),
            Metric::counter(
                "redis_gaps_filled",
                "Gaps in a log that were filled from the history on Redis",
                self.gaps_filled,
            ),
            Metric::gauge(
                "redis_channels_subscribed",
                "Channels that this hub is subscribed to now",
                self.subscribed_channels,
            ),
            Metric::counter(
                "redis_foreign_events",
                "Events without a position, as Flask-SSE publishes them",
                self.foreign,
            ),
            Metric::counter("redis_poison_payloads", "Payloads that are not an event and were skipped", self.poison)
                .alert(
                    "increase(tidecast_redis_poison_payloads_total[15m]) > 0",
                    "Another program publishes other data on these channels. The log names a channel.",
                ),
            Metric::counter(
                "redis_elsewhere_events",
                "Events of another database or prefix that were skipped",
                self.elsewhere,
            ),
            Metric::counter(
                "redis_overflowed_events",
                "Events that arrived during a backfill and could not be held back: those with a position are read from \
                 the history, those without are lost",
                self.overflowed,
            )
            .alert(
                "increase(tidecast_redis_overflowed_events_total[15m]) > 0",
                "Events of programs other than Tidecast may be lost: they arrive faster than channels are backfilled.",
            ),
            Metric::counter(
                "redis_conflicting_events",
                "Events that arrived at a position at which the history has another one",
                self.conflicting,
            )
            .alert(
                "increase(tidecast_redis_conflicting_events_total[15m]) > 0",
                "A program with the right to PUBLISH forges positions, or two servers take turns behind one address.",
            ),
            Metric::counter(
                "redis_task_restarts",
                "Tasks that ended or panicked and were started again",
                self.task_restarts,
            ),
        ]
    }
}
