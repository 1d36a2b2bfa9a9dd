//! Random schedules of publishing here and elsewhere, lagging, gaps, trimming, other servers, reading, cutting and returning
//! on another node, against a plain model of each reader's position and of the deliveries that may follow.
//!
//! An event with a position must follow the reader's position, or a reset must move the reader. A foreign event must come
//! once, in its place, and only to readers that were present. [`far_world`](crate::far_world) takes the steps.

use std::collections::HashMap;

use proptest::prelude::*;
use tidecast::{Epoch, Position};

use crate::far_world::World;

pub(crate) const CHANNELS: [&str; 2] = ["a", "b"];
pub(crate) const NODES: usize = 2;
pub(crate) const READERS: usize = 4;

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Publish { channel: usize, node: usize, times: usize },
    Foreign { channel: usize },
    Deliver { channel: usize, node: usize, count: usize },
    Miss { channel: usize, node: usize, count: usize },
    MissAll { channel: usize, node: usize },
    Trim { channel: usize, keep: usize },
    Restart { channel: usize, lost: u64 },
    Suspend { channel: usize, node: usize },
    GoLive { channel: usize, node: usize },
    Answer { node: usize, late: bool },
    Connect { reader: usize, node: usize },
    Read { reader: usize },
    ReadSome { reader: usize, share: usize },
    Cut { reader: usize },
    Sweep { node: usize },
}

fn any_step() -> impl Strategy<Value = Step> {
    let (channel, node, reader) = (0..CHANNELS.len(), 0..NODES, 0..READERS);
    let at = || (channel.clone(), node.clone());
    prop_oneof![
        8 => (at(), 1..5_usize).prop_map(|((channel, node), times)| Step::Publish { channel, node, times }),
        4 => channel.clone().prop_map(|channel| Step::Foreign { channel }),
        8 => (at(), 1..6_usize).prop_map(|((channel, node), count)| Step::Deliver { channel, node, count }),
        2 => (at(), 1..4_usize).prop_map(|((channel, node), count)| Step::Miss { channel, node, count }),
        1 => at().prop_map(|(channel, node)| Step::MissAll { channel, node }),
        1 => (channel.clone(), 0..6_usize).prop_map(|(channel, keep)| Step::Trim { channel, keep }),
        1 => (channel.clone(), 0..3_u64).prop_map(|(channel, lost)| Step::Restart { channel, lost }),
        1 => at().prop_map(|(channel, node)| Step::Suspend { channel, node }),
        2 => at().prop_map(|(channel, node)| Step::GoLive { channel, node }),
        2 => (node.clone(), any::<bool>()).prop_map(|(node, late)| Step::Answer { node, late }),
        6 => (reader.clone(), node.clone()).prop_map(|(reader, node)| Step::Connect { reader, node }),
        6 => reader.clone().prop_map(|reader| Step::Read { reader }),
        6 => (reader.clone(), 0..=256_usize).prop_map(|(reader, share)| Step::ReadSome { reader, share }),
        2 => reader.prop_map(|reader| Step::Cut { reader }),
        1 => node.prop_map(|node| Step::Sweep { node }),
    ]
}

/// Every event that was ever published, by epoch. An epoch that took over from another has that one's events up to there.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    published: HashMap<Position, String>,
    began: HashMap<Epoch, Position>,
    /// The foreign events, and the position that each followed.
    foreign: HashMap<String, Position>,
    /// The newest offset that the history has ever lost, for each channel.
    trimmed: HashMap<usize, u64>,
}

impl Truth {
    pub(crate) fn publish(&mut self, position: Position, label: String) {
        self.published.insert(position, label);
    }

    pub(crate) fn send_foreign(&mut self, after: Position, label: String) {
        self.foreign.insert(label, after);
    }

    pub(crate) fn trim(&mut self, channel: usize, offset: u64) {
        let trimmed = self.trimmed.entry(channel).or_default();
        *trimmed = offset.max(*trimmed);
    }

    /// Notes that an epoch takes over from another at a position of that.
    pub(crate) fn take_over(&mut self, epoch: Epoch, from: Position) {
        self.began.insert(epoch, from);
    }

    /// Returns the event at a position.
    pub(crate) fn at(&self, position: Position) -> Option<&str> {
        match self.began.get(&position.epoch) {
            Some(began) if position.offset <= began.offset => self.at(Position { offset: position.offset, ..*began }),
            _ => self.published.get(&position).map(String::as_str),
        }
    }

    pub(crate) fn foreign(&self, label: &str) -> Option<Position> {
        self.foreign.get(label).copied()
    }
}

/// The position of a reader in one channel, as far as it can know, and the foreign events there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    pub(crate) at: Option<Position>,
    /// The position with which the reader came.
    pub(crate) came_at: Option<Position>,
    /// The epochs that the node's log has been in since the reader came, one after the other.
    pub(crate) epochs: Vec<Epoch>,
    /// Where the channel stood on the server whenever the reader read since.
    pub(crate) stood: Vec<Position>,
    /// The foreign events that arrived at the node since the reader came, in order, without those that it has read.
    pub(crate) arrived: Vec<String>,
    /// The events among them that it must still get.
    pub(crate) owed: Vec<String>,
}

impl Place {
    /// Notes the epoch that the node's log is in.
    pub(crate) fn note_epoch(&mut self, epoch: Epoch) {
        if self.epochs.last() != Some(&epoch) {
            self.epochs.push(epoch);
        }
    }

    /// Returns whether nothing up to the head of the node's log is missing.
    ///
    /// A log without an event learns its epoch in silence. A reader that was told `0.0` there has everything, unless the log
    /// has been in yet another epoch since: then a reset is due.
    pub(crate) fn has_reached(&self, here: Position) -> bool {
        let only_epochs = [Position::START.epoch, here.epoch];
        self.at.is_some_and(|at| match at {
            Position::START => here.offset == 0 && self.epochs.iter().all(|epoch| only_epochs.contains(epoch)),
            at => at.epoch == here.epoch && at.offset >= here.offset,
        })
    }

    /// Checks an event with a position.
    pub(crate) fn follow(&mut self, position: Position) {
        if let Some(at) = self.at {
            // From `0.0` on, the first epoch that the node hears of.
            let first = self.epochs.iter().find(|epoch| **epoch != Position::START.epoch);
            let epoch = if at == Position::START { first.copied().unwrap_or(position.epoch) } else { at.epoch };
            let expected = Position { epoch, offset: at.offset + 1 };
            assert_eq!(position, expected, "lost, doubled or out of order");
        }
        self.at = Some(position);
    }

    /// Checks a reset. `lost` is the newest offset that the history has ever lost.
    pub(crate) fn reset(&mut self, reason: &str, resumed_at: Position, lost: Option<u64>) {
        if let Some(at) = self.at {
            // The reset may have waited in the socket since an earlier read.
            let is_elsewhere = |stood: &Position| stood.epoch != at.epoch;
            let elsewhere = self.stood.iter().any(is_elsewhere);
            let stood_before = |offset| self.stood.iter().any(|stood| stood.offset < offset);
            match reason {
                "restarted" => {
                    let flipped = self.epochs.iter().any(|epoch| *epoch != at.epoch);
                    assert!(at.epoch != resumed_at.epoch || flipped, "nothing started over");
                }
                "unknown-id" => assert!(elsewhere || stood_before(at.offset), "{at} is known: {self:?}"),
                _ if resumed_at.offset == at.offset => assert!(!self.arrived.is_empty(), "nothing was lost"),
                _ => {
                    let gone = lost.is_some_and(|lost| lost > at.offset) || stood_before(resumed_at.offset);
                    assert!(elsewhere || gone, "{reason} at {at}, though history has what follows");
                    assert!(resumed_at.offset > at.offset || elsewhere, "{reason} went back from {at} to {resumed_at}");
                }
            }
        }
        self.at = Some(resumed_at);
        self.owed.clear();
    }

    /// Checks a foreign event, which was sent after the event at `after`.
    pub(crate) fn foreign(&mut self, label: &str, after: Position) {
        let index = self.arrived.iter().position(|arrived| arrived == label);
        let index = index.unwrap_or_else(|| panic!("{label} was had before, or came before the reader"));
        self.arrived.drain(..=index);
        self.owed.retain(|owed| owed != label);
        if let Some(at) = self.at.filter(|at| at.epoch == after.epoch) {
            assert!(at.offset <= after.offset, "{label} came at {at}, and was sent after {after}");
        }
    }
}

impl Truth {
    pub(crate) fn trimmed(&self, channel: usize) -> Option<u64> {
        self.trimmed.get(&channel).copied()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_reader_gets_what_the_model_says(
        log_events_max in 1..8_usize,
        is_grouped in any::<bool>(),
        steps in prop::collection::vec(any_step(), 1..100),
    ) {
        let mut world = World::new(log_events_max, is_grouped);
        for step in &steps {
            world.step(step);
        }
        world.end();
    }
}

/// The log left its epoch for another and returned while the reader did not read: the server had lost the only event of the
/// other epoch. The reader is told `restarted`. The model looked at the log's epoch only when the reader came and read, saw
/// the same one twice, and took the reset for a false one.
#[test]
fn a_log_that_leaves_an_epoch_and_returns_to_it_has_started_over() {
    let (channel, node, reader) = (1, 0, 2);
    let mut world = World::new(1, false);
    for step in [
        Step::Publish { channel, node, times: 1 },
        Step::Connect { reader, node },
        Step::Restart { channel, lost: 0 },
        Step::Publish { channel, node, times: 1 },
        Step::Deliver { channel, node, count: 1 },
        Step::Restart { channel, lost: 1 },
        Step::MissAll { channel, node },
        Step::Read { reader },
    ] {
        world.step(&step);
    }
    world.end();
}

/// A reader came from a node that was ahead, and the server lost the only event. The reader was told `restarted`, at the
/// `0.0` of a log that had not heard of any event. Before it read the reset, the log learnt its epoch, in which it still had
/// no event. The reader had everything, but the model compared `0.0` with the position in the epoch, and took it for behind.
#[test]
fn a_reader_at_the_beginning_has_everything_when_the_log_learns_its_epoch() {
    let (channel, reader) = (0, 0);
    let mut world = World::new(1, false);
    for step in [
        Step::Connect { reader: 2, node: 0 },
        Step::Publish { channel, node: 0, times: 1 },
        Step::Connect { reader, node: 1 },
        Step::Read { reader },
        Step::Connect { reader, node: 0 },
        Step::Restart { channel, lost: 1 },
        Step::ReadSome { reader, share: 49 },
        Step::MissAll { channel, node: 0 },
        Step::Read { reader },
    ] {
        world.step(&step);
    }
    world.end();
}
