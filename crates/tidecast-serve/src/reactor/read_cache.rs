//! The last read of a reader group's log, reused for all readers at the same cursor.

use bytes::Bytes;
use tidecast::{
    internals::{GroupRead, LogCursor, ReaderGroups},
    limits::READ_BYTES_DEFAULT,
};

use super::chunk::{Framing, framed};

/// Uses of one read before the log is read again, so that later readers of a long round get in one write what has come since
/// it began. Any number from 16 to 256 does as well; without a limit, throughput falls by a fifth.
const USES_MAX: u32 = 32;

/// Reads up to this size are framed once for all readers, because one buffer is sent faster than three. Copying larger ones
/// would cost a group with few readers more than that.
const FRAMED_BYTES_MAX: usize = 16 * 1024;

/// The last read of a group's log, and what was given of it.
#[derive(Debug, Default)]
pub(super) struct ReadCache {
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

    /// Returns the bytes to be written to a client of some framing, and how.
    fn to_write(&self, framing: Framing) -> (&Bytes, Framing) {
        match (framing, &self.framed) {
            (Framing::Chunk, Some(framed)) => (framed, Framing::Raw),
            _ => (&self.bytes, framing),
        }
    }
}

/// The result of a read from a cursor.
#[derive(Debug)]
pub(super) enum CachedRead<'a> {
    Frames {
        bytes: &'a Bytes,
        framing: Framing,
        next: LogCursor,
    },
    CaughtUp,
    /// The log no longer has what follows.
    Lost,
}

impl ReadCache {
    /// Reads from a cursor, from the cache or the log.
    pub(super) fn read(
        &mut self,
        groups: &ReaderGroups,
        key: u32,
        cursor: LogCursor,
        framing: Framing,
    ) -> CachedRead<'_> {
        if self.end == Some(cursor) {
            return CachedRead::CaughtUp;
        }
        if self.read.as_ref().is_none_or(|read| read.from != cursor) {
            match groups.read(key, cursor, READ_BYTES_DEFAULT) {
                GroupRead::Frames { bytes, next, count } => self.read = Some(Read::new(cursor, next, bytes, count)),
                GroupRead::CaughtUp => {
                    self.end = Some(cursor);
                    return CachedRead::CaughtUp;
                }
                GroupRead::Lost => return CachedRead::Lost,
            }
        }
        match &self.read {
            Some(read) => {
                let (bytes, framing) = read.to_write(framing);
                CachedRead::Frames { bytes, framing, next: read.next }
            }
            None => CachedRead::Lost,
        }
    }

    /// Notes that the last read was given to a reader.
    pub(super) fn count_use(&mut self) {
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

    /// Adds what was given to the counts of the channel. To be called before the last reader leaves the group, which then
    /// has no channel.
    pub(super) fn flush_counts(&mut self, groups: &ReaderGroups, key: u32) {
        if self.frames > 0 {
            groups.count_delivered(key, self.frames, self.bytes);
            (self.frames, self.bytes) = (0, 0);
        }
    }
}
