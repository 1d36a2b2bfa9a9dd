//! Subscribing: each channel is taken once, and its log joined.

use std::{collections::HashSet, sync::Arc};

use super::Hub;
use crate::{
    Channel, Error, Result, Subscription,
    limits::{LAST_MAX, SUBSCRIPTION_CHANNELS_MAX},
    notify::ReadySet,
    subscription::{ChannelCursor, Start},
};

impl Hub {
    /// Subscribes to 1 to 64 channels. A channel that is named twice counts once.
    ///
    /// It never waits. While the broker can't tell where a channel stands, the subscription waits instead. From a position
    /// that is no longer retained, the subscription continues with the oldest retained event, after a
    /// [`Reset`](crate::Reset).
    ///
    /// # Errors
    ///
    /// - [`Error::is_invalid`] if a channel's name is invalid, for no channel or more than 64, and for a [`Start::Last`] of
    ///   more than 1,000
    /// - [`Error::is_full`] for a channel without an event beyond
    ///   [`Limits::read_channels_max`](crate::Limits::read_channels_max)
    /// - [`Error::is_closed`]
    pub fn subscribe<I>(&self, channels: I, start: Start) -> Result<Subscription>
    where
        I: IntoIterator,
        I::Item: TryInto<Channel>,
        Error: From<<I::Item as TryInto<Channel>>::Error>,
    {
        self.check_open()?;
        let mut seen = HashSet::new();
        let mut distinct = Vec::new();
        for channel in channels {
            let channel = channel.try_into()?;
            if seen.insert(channel.clone()) {
                distinct.push(channel);
            }
            if distinct.len() > SUBSCRIPTION_CHANNELS_MAX {
                let why = format!("names more than {SUBSCRIPTION_CHANNELS_MAX} channels");
                return Err(Error::invalid("subscription", why));
            }
        }
        if distinct.is_empty() {
            return Err(Error::invalid("subscription", "names no channel"));
        }
        if let Start::Last(count) | Start::AfterOrLast(_, count) = &start
            && *count > LAST_MAX
        {
            return Err(Error::invalid("last", format!("is {count}; at most {LAST_MAX} is allowed")));
        }

        let now = self.state.now();
        for channel in &distinct {
            let checked = self.state.registry.check_readable(channel, now);
            checked.inspect_err(|_| self.state.counters.count_refused())?;
        }
        let ready_set = Arc::new(ReadySet::default());
        let mut cursors = Vec::with_capacity(distinct.len());
        let (starts, requested) = start.by_channel(distinct.len());
        for ((channel, start), index) in distinct.iter().zip(starts).zip(0..) {
            let (log, joined) = self.state.registry.with_log(channel, now, |log| {
                let joined = log.join(&ready_set, index)?;
                Ok((log.clone(), joined))
            });
            if joined.is_first {
                self.state.broker.subscribe(channel);
            }
            cursors.push(ChannelCursor::new(log, start, joined.seq));
        }
        self.state.counters.count_joined();
        Ok(Subscription::new(self.state.clone(), cursors, requested, ready_set))
    }
}
