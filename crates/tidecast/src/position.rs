//! The position of an event in its channel, and its text.

mod cursor;

use std::{fmt, str::FromStr};

use bytes::BufMut;

pub use self::cursor::Cursor;
pub(crate) use self::cursor::{CURSOR_BYTES_MAX, put_cursor};
use crate::{Error, Result};

/// An epoch: the run of offsets that an offset belongs to.
///
/// An epoch is 48 bits, drawn at random when a log starts over. So a position that outlives its log is recognized, and is
/// never taken for a position of another channel. Zero and all ones are never drawn.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// The epoch of a channel that has no log yet.
    pub const NONE: Self = Self(0);

    /// An epoch that no log ever has. A reader with a position in it is told `stream-reset`.
    pub(crate) const LOST: Self = Self((1 << 48) - 1);

    /// Draws an epoch from the system's random numbers.
    ///
    /// A generator of this process would be duplicated by a fork, so that parent and child would give different events the
    /// same positions.
    ///
    /// # Panics
    ///
    /// If the system has no random numbers.
    #[must_use]
    pub fn random() -> Self {
        loop {
            let mut bytes = [0; 8];
            getrandom::fill(&mut bytes[..6]).expect("the system has random numbers");
            let epoch = Self(u64::from_le_bytes(bytes));
            if epoch != Self::NONE && epoch != Self::LOST {
                return epoch;
            }
        }
    }

    /// Creates an epoch from 48 bits of a hash.
    pub(crate) fn from_hash(hash: u64) -> Self {
        match Self(hash >> 16) {
            Self::NONE | Self::LOST => Self(1),
            epoch => epoch,
        }
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

/// The place of an event in its channel: the epoch of the log, and an offset that starts at 1 and grows by 1.
///
/// Written `EPOCH.OFFSET`: 12 lower-case hex digits, a dot, and a decimal number. `0.0` is the position in a channel that
/// has no log yet. A position will have no other parts.
///
/// # Examples
///
/// ```
/// use tidecast::Position;
///
/// let position: Position = "00c0ffee1234.17".parse()?;
/// assert_eq!(position.offset, 17);
/// assert_eq!(position.to_string(), "00c0ffee1234.17");
/// assert!("17".parse::<Position>().is_err());
/// # Ok::<(), tidecast::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// The epoch of the log.
    pub epoch: Epoch,
    /// The number of events in that epoch up to this position, including the event here. 0 is before the first event.
    pub offset: u64,
}

/// Longest text of a position, in bytes.
const POSITION_BYTES_MAX: usize = 12 + 1 + 20;

/// Shortest text of a position in a log, in bytes.
pub(crate) const POSITION_BYTES_MIN: usize = 12 + 1 + 1;

impl Position {
    /// The position before every event, in a channel that has no log yet: `0.0`.
    pub const START: Self = Self { epoch: Epoch::NONE, offset: 0 };

    /// A position that no log knows.
    pub(crate) const LOST: Self = Self { epoch: Epoch::LOST, offset: 0 };

    /// Appends the text of the position. The general machinery for formatting numbers costs several times as much.
    #[doc(hidden)]
    pub fn write_to(self, out: &mut impl BufMut) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        if self.epoch == Epoch::NONE {
            out.put_u8(b'0');
        } else {
            let mut digits = [0; 12];
            for (at, digit) in digits.iter_mut().enumerate() {
                *digit = HEX[(self.epoch.0 >> (44 - 4 * at) & 0xf) as usize];
            }
            out.put_slice(&digits);
        }
        out.put_u8(b'.');
        out.put_slice(itoa::Buffer::new().format(self.offset).as_bytes());
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; POSITION_BYTES_MAX];
        let mut room = &mut text[..];
        self.write_to(&mut room);
        let left = room.len();
        f.write_str(std::str::from_utf8(&text[..POSITION_BYTES_MAX - left]).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Position {
    type Err = Error;

    /// Parses exactly the texts that [`Display`](fmt::Display) writes, so that a publisher's own id is rarely mistaken for a
    /// position.
    fn from_str(text: &str) -> Result<Self> {
        parse(text).ok_or_else(|| Error::invalid("position", "is not of the form EPOCH.OFFSET"))
    }
}

fn parse(text: &str) -> Option<Position> {
    if text == "0.0" {
        return Some(Position::START);
    }
    let (epoch, offset) = text.split_once('.')?;
    if epoch.len() != 12 || !epoch.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let plain = offset.bytes().all(|byte| byte.is_ascii_digit()) && (offset == "0" || !offset.starts_with('0'));
    let epoch = Epoch(u64::from_str_radix(epoch, 16).ok()?);
    if !plain || epoch == Epoch::NONE {
        return None;
    }
    Some(Position { epoch, offset: offset.parse().ok()? })
}
