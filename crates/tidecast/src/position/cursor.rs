//! The positions of a subscription in each of its channels.

use std::{fmt, str::FromStr};

use bytes::BufMut;
use smallvec::SmallVec;

use super::{POSITION_BYTES_MAX, Position};
use crate::{Error, Result, limits::SUBSCRIPTION_CHANNELS_MAX};

/// Longest text of a cursor, in bytes.
pub(crate) const CURSOR_BYTES_MAX: usize = SUBSCRIPTION_CHANNELS_MAX * (POSITION_BYTES_MAX + 1) - 1;

/// One position for each channel of a subscription, in the order in which the channels were named, without repetitions.
///
/// Written as the positions joined by commas. A cursor of up to four channels does not allocate.
///
/// # Examples
///
/// ```
/// use tidecast::{Cursor, Position};
///
/// let cursor: Cursor = "00c0ffee1234.17,0.0".parse()?;
/// assert_eq!(cursor.positions()[1], Position::START);
/// assert_eq!(cursor.to_string(), "00c0ffee1234.17,0.0");
/// # Ok::<(), tidecast::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Cursor(SmallVec<[Position; 4]>);

impl Cursor {
    /// Returns the positions, one for each channel.
    #[must_use]
    pub fn positions(&self) -> &[Position] {
        &self.0
    }

    pub(crate) fn into_positions(self) -> SmallVec<[Position; 4]> {
        self.0
    }
}

/// Appends the text of a cursor, for paths where `Display` is too slow.
pub(crate) fn put_cursor(out: &mut impl BufMut, positions: impl IntoIterator<Item = Position>) {
    for (at, position) in positions.into_iter().enumerate() {
        if at > 0 {
            out.put_u8(b',');
        }
        position.write_to(out);
    }
}

impl FromIterator<Position> for Cursor {
    fn from_iter<I: IntoIterator<Item = Position>>(positions: I) -> Self {
        Self(positions.into_iter().collect())
    }
}

impl From<Position> for Cursor {
    fn from(position: Position) -> Self {
        Self::from_iter([position])
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, position) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            write!(f, "{position}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.len() > CURSOR_BYTES_MAX {
            let why = format!("is {} bytes long; at most {CURSOR_BYTES_MAX} are allowed", text.len());
            return Err(Error::invalid("cursor", why));
        }
        text.split(',').map(str::parse).collect()
    }
}
