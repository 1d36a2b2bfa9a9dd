//! Random schedules of publishing, reading, cutting, resuming, sweeping, evicting and forgetting, against a model of ten
//! lines: [`Place::follow`].
//!
//! The model knows each reader's position in each channel, and the tail and the head that the hub reports for the channel's
//! log. A reader gets the event after its position, or a reset exactly if the log no longer has that event. The tests of
//! [`bounds`](crate::bounds) check that the tail is where the limits put it.

use proptest::prelude::*;
use tidecast::{ChannelInfo, Limits, Position};

use crate::{
    resume_world::World,
    support::{default_with, secs},
};

pub(crate) const CHANNELS: [&str; 3] = ["a", "b", "c"];
pub(crate) const READERS: usize = 4;

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Publish {
        channel: usize,
        own_id: bool,
        len: usize,
        times: usize,
    },
    Connect {
        reader: usize,
        last: Option<usize>,
    },
    Read {
        reader: usize,
    },
    /// Reads this share of the bytes in the socket, in 256ths.
    ReadSome {
        reader: usize,
        share: usize,
    },
    Cut {
        reader: usize,
    },
    Advance {
        ms: u64,
    },
    Forget {
        channel: usize,
    },
    Flood,
}

fn any_step() -> impl Strategy<Value = Step> {
    let (channel, reader) = (0..CHANNELS.len(), 0..READERS);
    prop_oneof![
        8 => (channel.clone(), any::<bool>(), 0..200_usize, 1..5_usize)
            .prop_map(|(channel, own_id, len, times)| Step::Publish { channel, own_id, len, times }),
        5 => (reader.clone(), prop::option::weighted(0.2, 0..4_usize))
            .prop_map(|(reader, last)| Step::Connect { reader, last }),
        5 => reader.clone().prop_map(|reader| Step::Read { reader }),
        5 => (reader.clone(), 0..=256_usize).prop_map(|(reader, share)| Step::ReadSome { reader, share }),
        3 => reader.prop_map(|reader| Step::Cut { reader }),
        3 => (1..600_u64).prop_map(|ms| Step::Advance { ms }),
        1 => channel.prop_map(|channel| Step::Forget { channel }),
        1 => Just(Step::Flood),
    ]
}

fn any_limits() -> impl Strategy<Value = Limits> {
    (1..8_usize, 100..4000_usize, prop::sample::select(vec![20_000, 1 << 30])).prop_map(
        |(log_events_max, log_bytes_max, logs_bytes_max)| {
            default_with!(Limits {
                log_events_max,
                log_bytes_max,
                logs_bytes_max,
                log_age_max: secs(1),
                idle_channels_max: 1
            })
        },
    )
}

/// The position of a reader in one channel, as far as it can know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) at: Position,
    /// The reset that it must be told first since it connected.
    pub(crate) due: Option<&'static str>,
}

impl Place {
    /// Returns whether the log still has all events that follow, and if not, why not.
    ///
    /// If the reader's id is a publisher's own, it is found only with its event.
    pub(crate) fn lost_at_connecting(&self, log: &ChannelInfo, by_own_id: bool) -> Option<&'static str> {
        let restarted = log.head.epoch != self.at.epoch;
        match by_own_id {
            true => (restarted || self.at.offset <= log.tail.offset).then_some("unknown-id"),
            false if restarted => Some("restarted"),
            false => (self.at.offset < log.tail.offset).then_some("expired"),
        }
    }

    /// Checks a delivery: it must be the next event, or a reset if the log does not have that event.
    pub(crate) fn follow(&mut self, log: &ChannelInfo, reset: Option<(&str, Position)>, event: Option<Position>) {
        let overrun = if log.head.epoch != self.at.epoch {
            Some("restarted")
        } else {
            (self.at.offset < log.tail.offset).then_some("too-slow")
        };
        if let Some((reason, resumed_at)) = reset {
            assert_eq!(Some(reason), self.due.take().or(overrun), "at {:?} of {log:?}", self.at);
            assert_eq!(resumed_at, log.tail);
            self.at = resumed_at;
        }
        if let Some(position) = event {
            assert_eq!(self.due, None, "a reset comes first");
            assert_eq!(position, Position { offset: self.at.offset + 1, ..self.at }, "lost, doubled or out of order");
            self.at = position;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_reader_gets_what_the_model_says(
        limits in any_limits(),
        is_grouped in any::<bool>(),
        steps in prop::collection::vec(any_step(), 1..80),
    ) {
        let mut world = World::new(limits, is_grouped);
        for step in &steps {
            world.step(step);
        }
        // In the end every reader returns and reads everything.
        for reader in 0..READERS {
            world.step(&Step::Connect { reader, last: None });
            world.step(&Step::Read { reader });
        }
    }
}
