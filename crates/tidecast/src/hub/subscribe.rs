//! Subscribing: the channels are named once each, and their logs joined.

use std::{collections::HashSet, sync::Arc};

use crate::{
    Channel, Error, Hub, Result, Subscription,
    limits::{LAST_MAX, SUBSCRIPTION_CHANNELS_MAX},
    notify::Bell,
    subscription::{Lane, Start},
};

impl Hub {
    /// Subscribes to 1 to 64 channels; a channel that is named twice counts once.
    ///
    /// Never waits: while the broker can't tell where a channel stands, the subscription waits instead. From a position
    /// that is no longer there it goes on with the oldest event that is, after a [`Reset`](crate::Reset).
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid`] for a name that can't be a channel's, for no channel or more than 64, and for a
    /// [`Start::Last`] of more than 1,000; [`Error::is_full`] for a channel without an event beyond
    /// [`Limits::read_channels_max`](crate::Limits::read_channels_max); [`Error::is_closed`].
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
        if matches!(start, Start::Last(count) | Start::AfterOrLast(_, count) if count > LAST_MAX) {
            return Err(Error::invalid("last", format!("is more than {LAST_MAX}")));
        }

        let now = self.inner.now();
        for channel in &distinct {
            let checked = self.inner.registry.check_readable(channel, now);
            checked.inspect_err(|_| self.inner.counters.count_refused())?;
        }
        let bell = Arc::new(Bell::default());
        let mut lanes = Vec::with_capacity(distinct.len());
        let (starts, asked) = start.lanes(distinct.len());
        for ((channel, start), lane) in distinct.iter().zip(starts).zip(0..) {
            let (log, joined) = self.inner.registry.with_log(channel, now, |log| {
                let joined = log.join(&bell, lane)?;
                Ok((log.clone(), joined))
            });
            if joined.first {
                self.inner.broker.subscribe(channel);
            }
            lanes.push(Lane::new(log, start, joined.at));
        }
        self.inner.counters.count_joined();
        Ok(Subscription::new(self.inner.clone(), lanes, asked, bell))
    }
}
