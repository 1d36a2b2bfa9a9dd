//! The published events, their deliveries, and the latencies.

use super::{
    checker::{Checker, Faults},
    stamp::Stamp,
    stream::Found,
};
use crate::stats::Histogram;

/// The subscribers and their channels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) subscribers: usize,
    /// The number of channels, which are published to in turn.
    pub(crate) channels: usize,
    /// The number of channels of each subscriber: one or all.
    pub(crate) channels_each: usize,
    pub(crate) data_bytes: usize,
}

/// The number of publishes whose deliveries are counted at a time: many more than are under way in a closed loop.
const OPEN_MAX: usize = 1 << 16;

/// The record of a run.
#[derive(Debug)]
pub(crate) struct Ledger {
    plan: Plan,
    checker: Checker,
    /// The number of publishes to each channel.
    numbers: Vec<u32>,
    /// How many subscribers have yet to receive each of the latest publishes.
    open: Vec<u32>,
    pub(crate) published: u64,
    /// The number of publishes that every subscriber has received.
    pub(crate) completed: u64,
    pub(crate) delivered: u64,
    pub(crate) latencies: Histogram,
}

impl Plan {
    /// Returns the first channel of a subscriber, whose other channels follow it.
    pub(crate) fn first_channel(&self, subscriber: usize) -> usize {
        if self.channels_each == self.channels { 0 } else { subscriber * self.channels / self.subscribers }
    }

    /// Returns the number of subscribers of each channel.
    pub(crate) fn subscribers_of_channel(&self) -> usize {
        self.subscribers * self.channels_each / self.channels
    }
}

impl Ledger {
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            plan,
            checker: Checker::new(plan.subscribers * plan.channels_each),
            numbers: vec![0; plan.channels],
            open: vec![0; OPEN_MAX],
            published: 0,
            completed: 0,
            delivered: 0,
            latencies: Histogram::new(),
        }
    }

    /// Records the next publish and returns the stamp for its data.
    pub(crate) fn publish(&mut self, at: u64) -> Stamp {
        let channel = (self.published % self.plan.channels as u64) as usize;
        let stamp = Stamp { channel: channel as u32, number: self.numbers[channel], serial: self.published as u32, at };
        self.numbers[channel] += 1;
        self.published += 1;
        let subscribers = self.plan.subscribers_of_channel() as u32;
        self.open[stamp.serial as usize % OPEN_MAX] = subscribers;
        self.completed += u64::from(subscribers == 0);
        stamp
    }

    /// Records what a subscriber has received.
    pub(crate) fn receive(&mut self, subscriber: usize, found: Found, now: u64) {
        let Found::Ours(stamp) = found else { return self.checker.note_garbled() };
        let channel = stamp.channel as usize;
        let index = channel.wrapping_sub(self.plan.first_channel(subscriber));
        if index >= self.plan.channels_each || stamp.at > now {
            return self.checker.note_garbled();
        }
        let entry = subscriber * self.plan.channels_each + index;
        if self.checker.note(entry, stamp.number, self.numbers[channel]) {
            self.delivered += 1;
            self.latencies.note(now - stamp.at);
            let open = &mut self.open[stamp.serial as usize % OPEN_MAX];
            *open = open.saturating_sub(1);
            self.completed += u64::from(*open == 0);
        }
    }

    /// Returns whether every subscriber has got the event with this serial number.
    pub(crate) fn has_arrived(&self, serial: u32) -> bool {
        self.open[serial as usize % OPEN_MAX] == 0
    }

    /// Returns whether every event has arrived everywhere.
    pub(crate) fn is_drained(&self) -> bool {
        self.delivered == self.published * self.plan.subscribers_of_channel() as u64
    }

    /// Returns the faults if nothing more arrives.
    pub(crate) fn faults(&self) -> Faults {
        self.checker.faults(|entry| {
            let (subscriber, index) = (entry / self.plan.channels_each, entry % self.plan.channels_each);
            self.numbers[self.plan.first_channel(subscriber) + index]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publish_is_complete_when_the_last_subscriber_has_it() {
        let mut ledger = Ledger::new(Plan { subscribers: 2, channels: 1, channels_each: 1, data_bytes: 64 });
        let (one, two) = (ledger.publish(1), ledger.publish(2));
        ledger.receive(0, Found::Ours(one), 3);
        ledger.receive(0, Found::Ours(two), 3);
        assert_eq!((ledger.completed, ledger.is_drained()), (0, false));
        ledger.receive(1, Found::Ours(one), 4);
        ledger.receive(1, Found::Ours(one), 4);
        assert_eq!((ledger.completed, ledger.faults().doubled, ledger.faults().lost), (1, 1, 1));
        ledger.receive(1, Found::Ours(two), 5);
        assert_eq!((ledger.completed, ledger.is_drained(), ledger.faults().lost), (2, true, 0));
    }

    #[test]
    fn channels_are_counted_separately_and_belong_to_their_subscribers() {
        let mut ledger = Ledger::new(Plan { subscribers: 4, channels: 2, channels_each: 1, data_bytes: 64 });
        let (one, two) = (ledger.publish(1), ledger.publish(2));
        assert_eq!((one.channel, two.channel, two.number, two.serial), (0, 1, 0, 1));
        for (subscriber, stamp) in [(0, one), (1, one), (2, two), (3, two)] {
            ledger.receive(subscriber, Found::Ours(stamp), 3);
        }
        assert!(ledger.is_drained());
        ledger.receive(0, Found::Ours(two), 3);
        assert_eq!(ledger.faults(), Faults { garbled: 1, ..Faults::default() });
    }
}
