//! Reading a channel for many who stand at the same spot: what was read is used again while it fits.

use bytes::Bytes;
use tidecast::{GroupRead, LogCursor, ReaderGroups, limits::READ_BYTES_DEFAULT};

use super::chunk::{Framing, framed};

/// After how many uses the log is asked again, so that those who come later in a long pass get in one write what has come
/// since it began. Any number from 16 to 256 does as well; never costs a fifth of the throughput.
const USES_MAX: u32 = 32;

/// Up to here what was read is framed once for all who are given it: one piece leaves for less than three do. Copying more
/// would cost a channel with few readers more than that.
const FRAMED_BYTES_MAX: usize = 16 * 1024;

/// What was last read of a channel, and what was given of it.
#[derive(Debug, Default)]
pub(super) struct Look {
    read: Option<Read>,
    /// Where the log was seen to end.
    end: Option<LogCursor>,
    uses: u32,
    frames: u64,
    bytes: u64,
}

#[derive(Debug, Clone)]
struct Read {
    from: LogCursor,
    next: LogCursor,
    /// The frames.
    bytes: Bytes,
    /// The same as a chunk, if they are few.
    framed: Option<Bytes>,
    count: u32,
}

impl Read {
    fn new(from: LogCursor, next: LogCursor, bytes: Bytes, count: u32) -> Self {
        let framed = (bytes.len() <= FRAMED_BYTES_MAX).then(|| Bytes::from(framed(&bytes)));
        Self { from, next, bytes, framed, count }
    }

    /// Returns what is to be written, and how, to a client of some framing.
    fn to_write(&self, framing: Framing) -> (&Bytes, Framing) {
        match (framing, &self.framed) {
            (Framing::Chunk, Some(framed)) => (framed, Framing::Raw),
            _ => (&self.bytes, framing),
        }
    }
}

/// What there is at a spot.
#[derive(Debug)]
pub(super) enum Seen<'a> {
    Frames { bytes: &'a Bytes, framing: Framing, next: LogCursor },
    CaughtUp,
    Elsewhere,
}

impl Look {
    pub(super) fn at(&mut self, taps: &ReaderGroups, key: u32, spot: LogCursor, framing: Framing) -> Seen<'_> {
        if self.end == Some(spot) {
            return Seen::CaughtUp;
        }
        if self.read.as_ref().is_none_or(|read| read.from != spot) {
            match taps.read(key, spot, READ_BYTES_DEFAULT) {
                GroupRead::Frames { bytes, next, count } => self.read = Some(Read::new(spot, next, bytes, count)),
                GroupRead::CaughtUp => {
                    self.end = Some(spot);
                    return Seen::CaughtUp;
                }
                GroupRead::Lost => return Seen::Elsewhere,
            }
        }
        match &self.read {
            Some(read) => {
                let (bytes, framing) = read.to_write(framing);
                Seen::Frames { bytes, framing, next: read.next }
            }
            None => Seen::Elsewhere,
        }
    }

    /// Says that what was last seen was given to a reader.
    pub(super) fn given(&mut self) {
        let Some(read) = &self.read else { return };
        self.frames += u64::from(read.count);
        self.bytes += read.bytes.len() as u64;
        self.uses += 1;
        if self.uses >= USES_MAX {
            self.uses = 0;
            self.read = None;
            self.end = None;
        }
    }

    /// Counts what was given since the last time: before its last reader leaves the tap, which then has no channel.
    pub(super) fn count(&mut self, taps: &ReaderGroups, key: u32) {
        if self.frames > 0 {
            taps.count_delivered(key, self.frames, self.bytes);
            (self.frames, self.bytes) = (0, 0);
        }
    }
}
