//! Writing to a socket: bytes framed as one chunk in one system call, and the rest that was not taken.

use std::{io::IoSlice, os::fd::AsFd};

use bytes::Bytes;
use rustix::{
    io::{Errno, retry_on_intr},
    net::{SendAncillaryBuffer, SendFlags, sendmsg},
};

/// The end of a body in chunks.
pub(super) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

const LINE_END: &[u8] = b"\r\n";

/// How bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// As one chunk.
    Chunk,
    /// As they are.
    Raw,
}

/// The result of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    All,
    /// The rest waits for the socket.
    Part,
    /// The socket took nothing.
    Nothing,
    /// The connection is broken.
    Failed(Errno),
}

/// Bytes of which some are still to be written, before any others.
#[derive(Debug)]
pub(super) struct PendingWrite {
    bytes: Bytes,
    framing: Framing,
    /// How many bytes were written, including the framing.
    written: usize,
}

/// Writes bytes. If the socket takes only a part, the rest is put into `pending`, which is empty before.
pub(super) fn write(
    socket: impl AsFd,
    bytes: &Bytes,
    framing: Framing,
    pending: &mut Option<Box<PendingWrite>>,
) -> Sent {
    match send(socket, bytes, framing, 0) {
        Ok(written) if written == framed_len(bytes.len(), framing) => Sent::All,
        Ok(0) => Sent::Nothing,
        Ok(written) => {
            *pending = Some(Box::new(PendingWrite { bytes: bytes.clone(), framing, written }));
            Sent::Part
        }
        Err(error) => Sent::Failed(error),
    }
}

/// Writes the bytes that are pending, if there are any.
pub(super) fn resume(socket: impl AsFd, pending: &mut Option<Box<PendingWrite>>) -> Sent {
    let Some(write) = pending else { return Sent::All };
    match send(socket, &write.bytes, write.framing, write.written) {
        Ok(0) => Sent::Nothing,
        Ok(written) => {
            write.written += written;
            if write.written < framed_len(write.bytes.len(), write.framing) {
                return Sent::Part;
            }
            *pending = None;
            Sent::All
        }
        Err(error) => Sent::Failed(error),
    }
}

impl PendingWrite {
    /// Keeps bytes of which none is written.
    pub(super) fn new(bytes: Bytes, framing: Framing) -> Box<Self> {
        Box::new(Self { bytes, framing, written: 0 })
    }

    /// Returns how many bytes are still to be written.
    pub(super) fn remaining(&self) -> usize {
        framed_len(self.bytes.len(), self.framing) - self.written
    }

    /// Adds bytes that are written as they are.
    pub(super) fn push(&mut self, more: &[u8]) {
        let framed = match self.framing {
            Framing::Chunk => Bytes::from(framed(&self.bytes)),
            Framing::Raw => self.bytes.clone(),
        };
        let bytes = [&framed[self.written..], more].concat().into();
        *self = Self { bytes, framing: Framing::Raw, written: 0 };
    }
}

/// Returns bytes as a chunk.
pub(super) fn framed(bytes: &[u8]) -> Vec<u8> {
    let (line, from) = size_line(bytes.len());
    [&line[from..], bytes, LINE_END].concat()
}

/// Sends what follows the first `skip` bytes. Returns 0 if the socket takes nothing.
fn send(socket: impl AsFd, bytes: &[u8], framing: Framing, skip: usize) -> Result<usize, Errno> {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let sent = match framing {
        Framing::Raw => retry_on_intr(|| rustix::net::send(&socket, &bytes[skip..], flags)),
        Framing::Chunk => {
            let (line, from) = size_line(bytes.len());
            let mut skip = skip;
            let slices = [&line[from..], bytes, LINE_END].map(|part| {
                let skipped = skip.min(part.len());
                skip -= skipped;
                IoSlice::new(&part[skipped..])
            });
            retry_on_intr(|| sendmsg(&socket, &slices, &mut SendAncillaryBuffer::default(), flags))
        }
    };
    if sent == Err(Errno::AGAIN) { Ok(0) } else { sent }
}

fn framed_len(bytes: usize, framing: Framing) -> usize {
    match framing {
        Framing::Chunk => {
            let (line, from) = size_line(bytes);
            line.len() - from + bytes + LINE_END.len()
        }
        Framing::Raw => bytes,
    }
}

/// Returns the line before a chunk, and where in the array it begins.
fn size_line(size: usize) -> ([u8; 18], usize) {
    let mut line = [0; 18];
    line[16..].copy_from_slice(LINE_END);
    let (mut from, mut left) = (16, size);
    loop {
        from -= 1;
        line[from] = b"0123456789abcdef"[left % 16];
        left /= 16;
        if left == 0 {
            return (line, from);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, os::unix::net::UnixStream};

    use super::*;

    #[test]
    fn a_chunk_begins_with_its_size_and_ends_with_a_line_end() {
        assert_eq!(framed(b"hello\n\n"), b"7\r\nhello\n\n\r\n");
        assert_eq!(framed(&[b'x'; 256])[..7], *b"100\r\nxx");
        for size in [0, 1, 15, 16, 255, 4096, 65_536, usize::MAX] {
            let (line, from) = size_line(size);
            assert_eq!(line[from..], *format!("{size:x}\r\n").as_bytes());
        }
    }

    /// A socket may stop taking bytes anywhere.
    #[test]
    fn a_partial_write_resumes_at_any_byte_and_can_be_followed_by_more() {
        let bytes = Bytes::from_static(b"data: a frame\n\n");
        for (framing, more) in [(Framing::Chunk, LAST_CHUNK), (Framing::Chunk, b""), (Framing::Raw, LAST_CHUNK)] {
            let whole = if framing == Framing::Chunk { framed(&bytes) } else { bytes.to_vec() };
            assert_eq!(whole.len(), framed_len(bytes.len(), framing));
            for written in 0..whole.len() {
                let (ours, mut theirs) = UnixStream::pair().unwrap();
                let mut pending = Some(Box::new(PendingWrite { bytes: bytes.clone(), framing, written }));
                if !more.is_empty() {
                    pending.as_mut().unwrap().push(more);
                }
                assert_eq!(resume(&ours, &mut pending), Sent::All);
                assert!(pending.is_none());
                drop(ours);
                let mut read = Vec::new();
                theirs.read_to_end(&mut read).unwrap();
                assert_eq!(read, [&whole[written..], more].concat());
            }
        }
    }

    #[test]
    fn a_full_socket_takes_a_part_then_nothing_then_the_rest() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let bytes = Bytes::from(vec![b'x'; 8 << 20]);
        let mut pending = None;
        assert_eq!(write(&ours, &bytes, Framing::Chunk, &mut pending), Sent::Part);
        assert_eq!(resume(&ours, &mut pending), Sent::Nothing);
        assert_eq!(write(&ours, &bytes, Framing::Chunk, &mut None), Sent::Nothing);
        let reader = std::thread::spawn(move || {
            let mut read = Vec::new();
            theirs.read_to_end(&mut read).unwrap();
            read
        });
        while resume(&ours, &mut pending) != Sent::All {}
        drop(ours);
        assert!(reader.join().unwrap() == framed(&bytes));
    }

    #[test]
    fn a_broken_connection_is_an_error_and_no_signal() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let sent = write(&ours, &Bytes::from_static(b"x"), Framing::Raw, &mut None);
        assert!(matches!(sent, Sent::Failed(_)), "{sent:?}");
    }
}
