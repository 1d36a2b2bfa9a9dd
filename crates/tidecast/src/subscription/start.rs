//! Where a client was, and what that means for each of its channels.
//!
//! The bytes of an id go in, and a start per channel comes out. The log decides later whether it still has the events that
//! follow.

use std::str;

use smallvec::SmallVec;

use crate::{
    Cursor, Position,
    channel_log::{ChannelLog, PositionMatch},
    log::ChannelStart,
    position::CURSOR_BYTES_MAX,
};

/// Where a subscription starts to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Start {
    /// At the events that are published from now on, even while the broker is still opening the channel.
    ///
    /// A broker that can't tell exactly where the channel stood at that moment starts earlier: events that were published
    /// just before may come too.
    #[default]
    Live,
    /// At the newest events of each channel, up to this many, oldest first; then as [`Start::Live`]. At most
    /// [`LAST_MAX`](crate::limits::LAST_MAX). 0 is the same as [`Start::Live`].
    Last(usize),
    /// After the event with this id: the bytes of a `Last-Event-ID`, whatever they are.
    ///
    /// They are read as a [`Cursor`] if its epochs are known; otherwise, on one channel, as an event's own id. If they are
    /// neither, the subscription begins with a [`Reset`](crate::Reset); it is never an error. Empty bytes are
    /// [`Start::Live`].
    ///
    /// Each position of a cursor goes to the channel whose log knows its epoch. So the channels may come in another order,
    /// and some may be missing. A channel that the id does not cover starts as [`Start::Live`].
    After(Vec<u8>),
    /// As [`Start::After`], but a channel that the id does not cover starts with up to this many of its newest events.
    AfterOrLast(Vec<u8>, usize),
}

/// The positions that a client sent, in any order. Each belongs to the channel whose log knows its epoch.
///
/// So a client may return with its channels in another order, with more of them, or with fewer.
#[derive(Debug)]
pub(crate) struct RequestedCursor {
    positions: SmallVec<[Position; 4]>,
    /// The id as it was sent.
    text: Box<str>,
    /// The number of newest events with which a channel starts that the client did not mention.
    last: usize,
}

/// The positions of a client that one channel's log knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    None,
    /// The position with this index.
    One(usize),
    /// Several. No hub writes such a cursor.
    Several,
}

impl RequestedCursor {
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Finds where each channel starts, as far as it is known. Logs that are not open yet may know more later.
    ///
    /// `is_elsewhere` returns whether a position is that of another channel of this node.
    pub(crate) fn starts(&self, logs: &[&ChannelLog], is_elsewhere: impl Fn(Position) -> bool) -> Vec<ChannelStart> {
        let claims: Vec<_> = logs.iter().map(|log| self.claim(log)).collect();
        if claims.contains(&Claim::Several) {
            return vec![ChannelStart::AfterUnknown; logs.len()];
        }
        let is_claimed = |index: usize| {
            let is_it =
                |claim: &Claim| matches!(claim, Claim::One(one) if self.positions[*one] == self.positions[index]);
            claims.iter().any(is_it)
        };
        let left: SmallVec<[usize; 4]> = (0..self.positions.len())
            .filter(|index| !is_claimed(*index) && !is_elsewhere(self.positions[*index]))
            .collect();
        let unclaimed = claims.iter().filter(|claim| **claim == Claim::None).count();
        let is_one_each = self.positions.len() == logs.len();
        let after = |index: usize| ChannelStart::After { position: self.positions[index], text: None };
        let start = |(index, claim): (usize, &Claim)| match *claim {
            // The client may have read this channel alone before, and have an event's own id from there.
            Claim::One(one) => ChannelStart::After { position: self.positions[one], text: Some(self.text.clone()) },
            Claim::None if logs.len() == 1 => ChannelStart::AfterOwnId(self.text.clone()),
            Claim::None if is_one_each && left.contains(&index) => after(index),
            Claim::None if left.is_empty() => ChannelStart::Added { text: self.text.clone(), count: self.last },
            Claim::None if is_one_each && left.len() == 1 && unclaimed == 1 => after(left[0]),
            Claim::None | Claim::Several => ChannelStart::AfterUnknown,
        };
        claims.iter().enumerate().map(start).collect()
    }

    fn claim(&self, log: &ChannelLog) -> Claim {
        let (mut by_epoch, mut by_start) = (Claim::None, Claim::None);
        for (index, position) in self.positions.iter().enumerate() {
            match log.match_position(*position) {
                PositionMatch::None => {}
                PositionMatch::Epoch if by_epoch == Claim::None => by_epoch = Claim::One(index),
                PositionMatch::Epoch => by_epoch = Claim::Several,
                // Silent channels may share the epoch of their beginning.
                PositionMatch::Start => by_start = Claim::One(index),
            }
        }
        if by_epoch == Claim::None { by_start } else { by_epoch }
    }
}

impl Start {
    /// Returns where each of `channels` channels starts, and the positions that are still to be matched with them.
    pub(crate) fn by_channel(self, channels: usize) -> (Vec<ChannelStart>, Option<Box<RequestedCursor>>) {
        let (id, last) = match self {
            Self::Live => return (vec![ChannelStart::Live; channels], None),
            Self::Last(count) => return (vec![ChannelStart::Last(count); channels], None),
            Self::After(id) => (id, 0),
            Self::AfterOrLast(id, count) => (id, count),
        };
        if id.is_empty() {
            return (vec![ChannelStart::Last(last); channels], None);
        }
        // An id that is longer than any cursor and any own id can't be found.
        let text = (id.len() <= CURSOR_BYTES_MAX).then(|| str::from_utf8(&id).ok()).flatten();
        let Some(text) = text else { return (vec![ChannelStart::AfterUnknown; channels], None) };
        let positions = text.parse::<Cursor>().map(Cursor::into_positions);
        let starts = match &positions {
            Ok(positions) if positions.len() == channels => {
                let own = (channels == 1).then(|| Box::from(text));
                let start = |position: &Position| ChannelStart::After { position: *position, text: own.clone() };
                positions.iter().map(start).collect()
            }
            _ if channels == 1 => vec![ChannelStart::AfterOwnId(text.into())],
            _ => vec![ChannelStart::AfterUnknown; channels],
        };
        let requested = positions.ok().filter(|positions| positions.len().max(channels) > 1);
        (starts, requested.map(|positions| Box::new(RequestedCursor { positions, text: text.into(), last })))
    }
}
