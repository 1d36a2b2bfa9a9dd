//! Any schedule of publishing, reading, cutting, resuming, sweeping, evicting and forgetting, against a model of ten
//! lines: [`Place::follow`].
//!
//! The model knows where each reader stands in each channel, and what the hub says of the channel's log: its tail and
//! its head. A reader gets the event after where it stands, or a reset exactly where the log no longer has that event.
//! That the tail is where the bounds say is the matter of [`bounds`](crate::bounds).

use proptest::prelude::*;
use tidecast::{ChannelInfo, Limits, Position};

use crate::{resume_world::World, support::secs};

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
    /// Takes this share of what waits in the socket, in 256ths.
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
        |(log_events_max, log_bytes_max, logs_bytes_max)| Limits {
            log_events_max,
            log_bytes_max,
            logs_bytes_max,
            log_age_max: secs(1),
            idle_channels_max: 1,
            ..Limits::default()
        },
    )
}

/// Where a reader stands in one channel, as far as it can know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) at: Position,
    /// What it must be told first since it connected.
    pub(crate) due: Option<&'static str>,
}

impl Place {
    /// Whether the log still has all that follows, and if not, why not.
    ///
    /// Where the id it holds is the publisher's own, it is found only with its event.
    pub(crate) fn lost_at_connecting(&self, log: &ChannelInfo, by_own_id: bool) -> Option<&'static str> {
        let restarted = log.head.epoch != self.at.epoch;
        match by_own_id {
            true => (restarted || self.at.offset <= log.tail.offset).then_some("unknown-id"),
            false if restarted => Some("restarted"),
            false => (self.at.offset < log.tail.offset).then_some("expired"),
        }
    }

    /// The model: what comes is the next event, or a reset where the log does not have that.
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
        stands in any::<bool>(),
        steps in prop::collection::vec(any_step(), 1..80),
    ) {
        let mut world = World::new(limits, stands);
        for step in &steps {
            world.step(step);
        }
        // In the end everybody comes back and reads all.
        for reader in 0..READERS {
            world.step(&Step::Connect { reader, last: None });
            world.step(&Step::Read { reader });
        }
    }
}
