//! What a client says about where it was, and what that means for each of its channels.
//!
//! Bytes in, a [`Start`] per channel out. The log decides later whether it still has what follows.

use std::str;

use smallvec::SmallVec;

use crate::{
    Cursor, Position,
    channel_log::{ChannelLog, Knows},
    position::CURSOR_BYTES_MAX,
};

/// From where a subscription reads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Start {
    /// What is published from now on: from the moment of subscribing, also while the broker is still opening the channel.
    ///
    /// A broker that can't tell exactly where the channel stood at that moment begins earlier: events that were published
    /// just before may come too.
    #[default]
    Live,
    /// The newest events of each channel, at most this many, oldest first, then live as [`Start::Live`] is. At most
    /// [`LAST_MAX`](crate::limits::LAST_MAX).
    Last(usize),
    /// What follows the event with this id: the bytes of a `Last-Event-ID`, whatever they are.
    ///
    /// They are read as a [`Cursor`] if its epochs are known; else, on one channel, as an event's own id; what is
    /// neither is answered in-band, by a [`Reset`](crate::Reset), never by an error. Empty bytes are [`Start::Live`].
    ///
    /// Of a cursor each position is given to the channel whose log knows its epoch, so the channels may be in another
    /// order, and some may be gone. A channel of which the id says nothing is [`Start::Live`].
    After(Vec<u8>),
    /// The same, but a channel of which the id says nothing begins with its newest events, at most this many.
    AfterOrLast(Vec<u8>, usize),
}

/// From where one lane of a subscription reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LaneStart {
    Live,
    Last(usize),
    /// After a position; `text` is the whole id that it was parsed from, if that may be an own id too.
    After {
        position: Position,
        text: Option<Box<str>>,
    },
    /// After an event with an own id.
    AfterOwnId(Box<str>),
    /// After something that no log can know.
    AfterUnknown,
    /// As [`Last`](Self::Last), as the client said nothing of this channel: unless what it said is the id of an event here.
    Added {
        text: Box<str>,
        count: usize,
    },
}

impl LaneStart {
    /// Whether the client said where it was.
    pub(crate) fn is_after(&self) -> bool {
        matches!(self, Self::After { .. } | Self::AfterOwnId(_) | Self::AfterUnknown)
    }

    /// What may be an event's own id.
    pub(crate) fn own_id(&self) -> Option<&str> {
        match self {
            Self::After { text: Some(id), .. } | Self::AfterOwnId(id) => Some(id),
            _ => None,
        }
    }
}

/// The positions that a client said, in whatever order: each belongs to the channel whose log knows its epoch.
///
/// So a client may come back with its channels in another order, with some more, or with some fewer.
#[derive(Debug)]
pub(crate) struct Asked {
    positions: SmallVec<[Position; 4]>,
    /// As it came.
    text: Box<str>,
    /// How many of its newest events a channel begins with of which the client said nothing.
    added: usize,
}

/// Which of the positions a channel's log knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    Nothing,
    /// The one with this index.
    One(usize),
    /// Several, which no hub has written.
    Several,
}

impl Asked {
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Finds from where each channel reads, as far as is known: of logs that are not open more may be later.
    /// `is_elsewhere` tells whether a position is that of a channel of this node.
    pub(crate) fn starts(&self, logs: &[&ChannelLog], is_elsewhere: impl Fn(Position) -> bool) -> Vec<LaneStart> {
        let claims: Vec<_> = logs.iter().map(|log| self.claim(log)).collect();
        if claims.contains(&Claim::Several) {
            return vec![LaneStart::AfterUnknown; logs.len()];
        }
        let is_claimed = |index: usize| {
            let is_it =
                |claim: &Claim| matches!(claim, Claim::One(one) if self.positions[*one] == self.positions[index]);
            claims.iter().any(is_it)
        };
        let left: SmallVec<[usize; 4]> = (0..self.positions.len())
            .filter(|index| !is_claimed(*index) && !is_elsewhere(self.positions[*index]))
            .collect();
        let unclaimed = claims.iter().filter(|claim| **claim == Claim::Nothing).count();
        let as_many = self.positions.len() == logs.len();
        let after = |index: usize| LaneStart::After { position: self.positions[index], text: None };
        let start = |(index, claim): (usize, &Claim)| match *claim {
            // The client may have read this channel alone before, and have an own id of its last event there.
            Claim::One(one) => LaneStart::After { position: self.positions[one], text: Some(self.text.clone()) },
            Claim::Nothing if logs.len() == 1 => LaneStart::AfterOwnId(self.text.clone()),
            Claim::Nothing if as_many && left.contains(&index) => after(index),
            Claim::Nothing if left.is_empty() => LaneStart::Added { text: self.text.clone(), count: self.added },
            Claim::Nothing if as_many && left.len() == 1 && unclaimed == 1 => after(left[0]),
            Claim::Nothing | Claim::Several => LaneStart::AfterUnknown,
        };
        claims.iter().enumerate().map(start).collect()
    }

    fn claim(&self, log: &ChannelLog) -> Claim {
        let (mut by_epoch, mut by_start) = (Claim::Nothing, Claim::Nothing);
        for (index, position) in self.positions.iter().enumerate() {
            match log.knows(*position) {
                Knows::Nothing => {}
                Knows::Epoch if by_epoch == Claim::Nothing => by_epoch = Claim::One(index),
                Knows::Epoch => by_epoch = Claim::Several,
                // Silent channels may share the epoch of their beginning.
                Knows::Start => by_start = Claim::One(index),
            }
        }
        if by_epoch == Claim::Nothing { by_start } else { by_epoch }
    }
}

impl Start {
    /// What it means for each of `channels` channels, and what is still to be matched with them.
    pub(crate) fn lanes(self, channels: usize) -> (Vec<LaneStart>, Option<Box<Asked>>) {
        let (id, added) = match self {
            Self::Live => return (vec![LaneStart::Live; channels], None),
            Self::Last(count) => return (vec![LaneStart::Last(count); channels], None),
            Self::After(id) => (id, 0),
            Self::AfterOrLast(id, count) => (id, count),
        };
        if id.is_empty() {
            return (vec![LaneStart::Last(added); channels], None);
        }
        // Past the length of any cursor and any own id there is nothing to look up.
        let text = (id.len() <= CURSOR_BYTES_MAX).then(|| str::from_utf8(&id).ok()).flatten();
        let Some(text) = text else { return (vec![LaneStart::AfterUnknown; channels], None) };
        let positions = text.parse::<Cursor>().map(Cursor::into_positions);
        let lanes = match &positions {
            Ok(positions) if positions.len() == channels => {
                let own = (channels == 1).then(|| Box::from(text));
                let start = |position: &Position| LaneStart::After { position: *position, text: own.clone() };
                positions.iter().map(start).collect()
            }
            _ if channels == 1 => vec![LaneStart::AfterOwnId(text.into())],
            _ => vec![LaneStart::AfterUnknown; channels],
        };
        let asked = positions.ok().filter(|positions| positions.len().max(channels) > 1);
        (lanes, asked.map(|positions| Box::new(Asked { positions, text: text.into(), added })))
    }
}
