//! What a client says about where it was, and what that means for each of its channels.
//!
//! Pure: bytes in, a [`Start`] per channel out. The log decides later whether it still has what follows.

use std::str;

use crate::{Cursor, Position, cursor::CURSOR_BYTES_MAX};

/// From where a subscription reads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Start {
    /// What is published from now on.
    #[default]
    Live,
    /// The newest events of each channel, at most this many, oldest first, then live. At most
    /// [`LAST_MAX`](crate::limits::LAST_MAX).
    Last(usize),
    /// What follows the event with this id: the bytes of a `Last-Event-ID`, whatever they are.
    ///
    /// They are read as a [`Cursor`] if its epochs are known; else, on one channel, as an event's own id; what is
    /// neither is answered in-band, by a [`Reset`](crate::Reset), never by an error. Empty bytes are [`Start::Live`].
    After(Vec<u8>),
}

/// From where one lane of a subscription reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LaneStart {
    Live,
    Last(usize),
    /// After a position; `text` is what it was parsed from where that may be an own id too.
    After {
        position: Position,
        text: Option<Box<str>>,
    },
    /// After an event with an own id.
    AfterOwnId(Box<str>),
    /// After something that no log can know.
    AfterUnknown,
}

impl LaneStart {
    /// Whether the client said where it was.
    pub(crate) fn is_after(&self) -> bool {
        matches!(self, Self::After { .. } | Self::AfterOwnId(_) | Self::AfterUnknown)
    }
}

impl Start {
    /// What it means for each of `channels` channels.
    pub(crate) fn lanes(self, channels: usize) -> Vec<LaneStart> {
        let id = match self {
            Self::Live => return vec![LaneStart::Live; channels],
            Self::Last(count) => return vec![LaneStart::Last(count); channels],
            Self::After(id) if id.is_empty() => return vec![LaneStart::Live; channels],
            Self::After(id) => id,
        };
        // Past the length of any cursor and any own id there is nothing to look up.
        let text = (id.len() <= CURSOR_BYTES_MAX).then(|| str::from_utf8(&id).ok()).flatten();
        let Some(text) = text else { return vec![LaneStart::AfterUnknown; channels] };
        match text.parse::<Cursor>() {
            Ok(cursor) if cursor.positions().len() == channels => {
                let own = (channels == 1).then(|| Box::from(text));
                cursor
                    .positions()
                    .iter()
                    .map(|position| LaneStart::After { position: *position, text: own.clone() })
                    .collect()
            }
            _ if channels == 1 => vec![LaneStart::AfterOwnId(text.into())],
            _ => vec![LaneStart::AfterUnknown; channels],
        }
    }
}
