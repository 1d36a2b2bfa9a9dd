//! The metrics of the broker on Redis. The server exposes them with the prefix `tidecast_`.

use tidecast::broker::Metric;

use crate::RedisStats;

impl RedisStats {
    /// Returns the numbers as metrics, in the order in which the server documents them.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        vec![
            Metric::gauge(
                "redis_connected",
                "1 while every listening connection stands, else 0",
                self.connected.into(),
            )
            .alert(
                "max_over_time(tidecast_redis_connected[1m]) == 0",
                "What is published elsewhere does not arrive until Redis is back. The log has the reason.",
            ),
            Metric::counter(
                "redis_reconnects",
                "Times that a listening connection was lost and made again",
                self.reconnects,
            ),
            Metric::counter(
                "redis_gaps_filled",
                "Times that a log was filled from Redis' history after a gap",
                self.gaps_filled,
            ),
            Metric::gauge(
                "redis_channels_subscribed",
                "Channels that this hub listens to now",
                self.subscribed_channels,
            ),
            Metric::counter(
                "redis_foreign_events",
                "Events without a position, as Flask-SSE publishes them",
                self.foreign,
            ),
            Metric::counter("redis_poison_payloads", "Payloads that are no event, which were skipped", self.poison)
                .alert(
                    "increase(tidecast_redis_poison_payloads_total[15m]) > 0",
                    "Another program publishes something else on these channels. The log names a channel.",
                ),
            Metric::counter(
                "redis_elsewhere_events",
                "Events of another database or prefix, which were skipped",
                self.elsewhere,
            ),
            Metric::counter(
                "redis_overflowed_events",
                "Events that arrived while a log was being filled and could not be held back: those with a position \
                 are read from the history, those without are lost",
                self.overflowed,
            )
            .alert(
                "increase(tidecast_redis_overflowed_events_total[15m]) > 0",
                "Events of programs other than Tidecast may be lost: they come faster than channels are filled.",
            ),
            Metric::counter(
                "redis_conflicting_events",
                "Events that arrived at a position at which another one is: somebody else published with it",
                self.conflicting,
            )
            .alert(
                "increase(tidecast_redis_conflicting_events_total[15m]) > 0",
                "Somebody with the right to PUBLISH forges positions, or two servers take turns behind one address.",
            ),
            Metric::counter(
                "redis_task_restarts",
                "Tasks that should run for ever, ended, and were started again",
                self.task_restarts,
            ),
        ]
    }
}
