//! Writing to a socket: bytes framed as one chunk, in one system call, and what of it was not taken.

use std::{io::IoSlice, os::fd::AsFd};

use bytes::Bytes;
use rustix::{
    io::{Errno, retry_on_intr},
    net::{SendAncillaryBuffer, SendFlags, sendmsg},
};

/// The end of a body.
pub(super) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

const LINE_END: &[u8] = b"\r\n";

/// The end of a chunk, and of the body.
const FINAL_LINE_END: &[u8] = b"\r\n0\r\n\r\n";

/// How bytes go on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// As a chunk of their own.
    Chunk,
    /// As a chunk of their own, which ends the body.
    FinalChunk,
    /// As they are.
    Raw,
}

/// What came of writing.
#[derive(Debug)]
pub(super) enum Written {
    All,
    /// Nothing was taken.
    Nothing,
    /// The rest is to be written before anything else.
    Part(Pending),
    /// The connection is broken.
    Failed(Errno),
}

/// Bytes of which some are to be written yet.
#[derive(Debug)]
pub(super) struct Pending {
    bytes: Bytes,
    framing: Framing,
    /// How much was written, with its framing.
    written: usize,
}

/// Writes bytes.
pub(super) fn write(socket: impl AsFd, bytes: &Bytes, framing: Framing) -> Written {
    match send(socket, bytes, framing, 0) {
        Ok(written) if written == framed_len(bytes.len(), framing) => Written::All,
        Ok(0) => Written::Nothing,
        Ok(written) => Written::Part(Pending { bytes: bytes.clone(), framing, written }),
        Err(error) => Written::Failed(error),
    }
}

impl Pending {
    /// Bytes of which nothing is written.
    pub(super) fn new(bytes: Bytes, framing: Framing) -> Self {
        Self { bytes, framing, written: 0 }
    }

    /// Has the body end behind these bytes, of which none may be its end yet.
    pub(super) fn end_body(&mut self) {
        match self.framing {
            Framing::Chunk => self.framing = Framing::FinalChunk,
            Framing::FinalChunk => {}
            Framing::Raw => {
                self.bytes = [&self.bytes[self.written..], LAST_CHUNK].concat().into();
                self.written = 0;
            }
        }
    }

    /// Writes on.
    pub(super) fn write(mut self, socket: impl AsFd) -> Written {
        match send(socket, &self.bytes, self.framing, self.written) {
            Ok(0) => Written::Part(self),
            Ok(written) => {
                self.written += written;
                if self.written == framed_len(self.bytes.len(), self.framing) {
                    Written::All
                } else {
                    Written::Part(self)
                }
            }
            Err(error) => Written::Failed(error),
        }
    }
}

/// The bytes of a chunk.
pub(super) fn framed(bytes: &[u8]) -> Vec<u8> {
    let (line, from) = size_line(bytes.len());
    [&line[from..], bytes, LINE_END].concat()
}

/// Sends what follows `skip` bytes; 0 where the socket takes nothing.
fn send(socket: impl AsFd, bytes: &[u8], framing: Framing, skip: usize) -> Result<usize, Errno> {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let sent = match framing {
        Framing::Raw => retry_on_intr(|| rustix::net::send(&socket, &bytes[skip..], flags)),
        Framing::Chunk | Framing::FinalChunk => {
            let (line, from) = size_line(bytes.len());
            let mut skip = skip;
            let slices = [&line[from..], bytes, line_end(framing)].map(|part| {
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
        Framing::Chunk | Framing::FinalChunk => {
            let (line, from) = size_line(bytes);
            line.len() - from + bytes + line_end(framing).len()
        }
        Framing::Raw => bytes,
    }
}

fn line_end(framing: Framing) -> &'static [u8] {
    if framing == Framing::FinalChunk { FINAL_LINE_END } else { LINE_END }
}

/// The line before a chunk, and where in the array it begins.
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
    fn a_chunk_has_its_size_and_its_end() {
        assert_eq!(framed(b"hello\n\n"), b"7\r\nhello\n\n\r\n");
        assert_eq!(framed(&[b'x'; 256])[..7], *b"100\r\nxx");
        for size in [0, 1, 15, 16, 255, 4096, 65_536, usize::MAX] {
            let (line, from) = size_line(size);
            assert_eq!(line[from..], *format!("{size:x}\r\n").as_bytes());
        }
    }

    /// The socket takes what it likes, wherever that ends.
    #[test]
    fn what_was_written_partly_goes_on_at_any_byte() {
        let bytes = Bytes::from_static(b"data: a frame\n\n");
        for framing in [Framing::Chunk, Framing::FinalChunk, Framing::Raw] {
            let whole = match framing {
                Framing::Chunk => framed(&bytes),
                Framing::FinalChunk => [&framed(&bytes), LAST_CHUNK].concat(),
                Framing::Raw => bytes.to_vec(),
            };
            assert_eq!(whole.len(), framed_len(bytes.len(), framing));
            for written in 0..whole.len() {
                let (ours, mut theirs) = UnixStream::pair().unwrap();
                let pending = Pending { bytes: bytes.clone(), framing, written };
                assert!(matches!(pending.write(&ours), Written::All));
                drop(ours);
                let mut read = Vec::new();
                theirs.read_to_end(&mut read).unwrap();
                assert_eq!(read, whole[written..]);
            }
        }
    }

    #[test]
    fn what_was_written_partly_is_followed_by_the_end_of_the_body() {
        let bytes = Bytes::from_static(b"data: a frame\n\n");
        for framing in [Framing::Chunk, Framing::Raw] {
            let whole = if framing == Framing::Chunk { framed(&bytes) } else { bytes.to_vec() };
            for written in 0..whole.len() {
                let (ours, mut theirs) = UnixStream::pair().unwrap();
                let mut pending = Pending { bytes: bytes.clone(), framing, written };
                pending.end_body();
                assert!(matches!(pending.write(&ours), Written::All));
                drop(ours);
                let mut read = Vec::new();
                theirs.read_to_end(&mut read).unwrap();
                assert_eq!(read, [&whole[written..], LAST_CHUNK].concat());
            }
        }
    }

    #[test]
    fn a_full_socket_takes_part_then_nothing_then_the_rest() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let bytes = Bytes::from(vec![b'x'; 8 << 20]);
        let Written::Part(pending) = write(&ours, &bytes, Framing::Chunk) else { panic!("a socket for 8 MiB") };
        let before = pending.written;
        let Written::Part(mut pending) = pending.write(&ours) else { panic!("more") };
        assert_eq!(pending.written, before);
        assert!(matches!(write(&ours, &bytes, Framing::Chunk), Written::Nothing));
        let reader = std::thread::spawn(move || {
            let mut read = Vec::new();
            theirs.read_to_end(&mut read).unwrap();
            read
        });
        loop {
            match pending.write(&ours) {
                Written::All => break,
                Written::Part(more) => pending = more,
                other => panic!("{other:?}"),
            }
        }
        drop(ours);
        assert!(reader.join().unwrap() == framed(&bytes));
    }

    #[test]
    fn a_broken_connection_is_an_error_and_no_signal() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        assert!(matches!(write(&ours, &Bytes::from_static(b"x"), Framing::Raw), Written::Failed(_)));
    }
}
