//! A socket that gathers what is written while a connection is polled once, so that answers to requests that came
//! together leave together.
//!
//! hyper writes after each request. What it writes waits here until its connection has nothing more to do, and then goes
//! out in one write; large pieces go straight through. It also tells when all that hyper had of a stream has come out of
//! it, which is when the stream may be taken: see [`detach`](crate::detach).

use std::{
    cell::Cell,
    io::{self, IoSlice},
    num::NonZeroU32,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};

use crate::{
    deadline::Deadline, detach::Offer, head_timer::HeadLimits, limits::STREAM_INPUT_BYTES_MAX, socket::GuardedSocket,
};

/// How much is gathered at most. At that it is written, and whoever has more waits until it is.
const GATHERED_BYTES_MAX: usize = 64 * 1024;

/// From here on copying costs more than another write.
const LARGE_BYTES: usize = 16 * 1024;

thread_local! {
    /// Room to gather in, for whichever connection is polled. One keeps it only while its client does not take what is in
    /// it, so that an idle connection has none.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A handle on the socket: hyper has one, and the task that polls hyper's connection has one.
#[derive(Debug, Clone)]
pub(crate) struct CorkedSocket(Arc<Mutex<Corked>>);

#[derive(Debug)]
struct Corked {
    /// Until it is taken.
    socket: Option<GuardedSocket>,
    /// What is to be read before anything else.
    unread: Bytes,
    gathered: Vec<u8>,
    /// How much of it is written.
    written: usize,
    /// The stream that is being answered with.
    offer: Option<Offer>,
    /// How many bytes the client has sent behind the request for it, and whether it has closed its side.
    input_bytes: usize,
    input_ended: bool,
    /// As what the stream was armed when hyper last had nothing more to write.
    flushed: Option<NonZeroU32>,
    head: HeadWatch,
}

/// How a stream is that is being answered with.
#[derive(Debug)]
pub(crate) enum Streaming {
    /// It has more to say, or there is none.
    GoesOn,
    /// It needs hyper no more.
    Detachable(Offer),
    /// Its client has closed its side, and has been given all there is.
    ClientEnded,
    /// Its client goes on sending.
    TooMuchInput,
    Broken,
}

/// The end of a body in chunks.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// How far the next request's head is.
#[derive(Debug, Default)]
struct HeadWatch {
    /// Whether some of it was read.
    heard: bool,
    /// Since when nothing of it has come. `None` until somebody asks, so that a request which comes whole costs no look at
    /// the clock; the same for the next.
    idle_since: Option<Instant>,
    /// Since when some of it is there.
    begun_at: Option<Instant>,
    deadline: Deadline,
}

impl CorkedSocket {
    /// A socket of which some was read already: the beginning of a request, since `begun_at`.
    pub(crate) fn new(socket: GuardedSocket, unread: Bytes, begun_at: Option<Instant>) -> Self {
        let (socket, gathered, written) = (Some(socket), Vec::new(), 0);
        let head = HeadWatch { heard: !unread.is_empty(), begun_at, ..HeadWatch::default() };
        Self(Arc::new(Mutex::new(Corked {
            socket,
            unread,
            gathered,
            written,
            offer: None,
            input_bytes: 0,
            input_ended: false,
            flushed: None,
            head,
        })))
    }

    /// Says that hyper waits for the head of the next request.
    pub(crate) fn wait_for_head(&self) {
        let mut corked = self.0.lock();
        // What was read before hyper was set up is the first request's.
        if !corked.unread.has_remaining() {
            corked.head.heard = false;
            corked.head.begun_at = None;
        }
        corked.head.idle_since = None;
    }

    /// Waits until that head is overdue.
    pub(crate) fn poll_overdue(&self, context: &mut Context<'_>, limits: HeadLimits) -> Poll<()> {
        self.0.lock().head.poll_overdue(context, limits)
    }

    /// Writes what was gathered: to be called after each poll of the connection.
    pub(crate) fn poll_uncork(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().poll_uncork(context)
    }

    /// Says that the answer on its way is a stream.
    pub(crate) fn offer(&self, offer: Offer) {
        self.0.lock().offer = Some(offer);
    }

    /// Looks after the stream that is being answered with, if that is so: to be called after each poll of the connection,
    /// as hyper does not read while it answers.
    pub(crate) fn poll_stream(&self, context: &mut Context<'_>) -> Streaming {
        let mut corked = self.0.lock();
        let Some(offer) = corked.offer.clone() else { return Streaming::GoesOn };
        if corked.poll_input(context).is_err() {
            return Streaming::Broken;
        }
        if corked.input_bytes > STREAM_INPUT_BYTES_MAX {
            return Streaming::TooMuchInput;
        }
        // Once all that it said has come out of hyper, and it has nothing more to say.
        let has_said_all = offer.handoff.idle_epoch().is_some_and(|armed| corked.flushed == Some(armed));
        match has_said_all {
            true if offer.detaches => Streaming::Detachable(offer),
            true if corked.input_ended => {
                if offer.chunked {
                    corked.gather(LAST_CHUNK);
                }
                Streaming::ClientEnded
            }
            _ => Streaming::GoesOn,
        }
    }

    /// Takes the socket, and what is still to be written to it.
    pub(crate) fn take(&self) -> Option<(TcpStream, Bytes)> {
        let mut corked = self.0.lock();
        let unwritten = Bytes::copy_from_slice(&corked.gathered[corked.written..]);
        corked.release();
        Some((corked.socket.take()?.into_inner(), unwritten))
    }
}

impl HeadWatch {
    fn poll_overdue(&mut self, context: &mut Context<'_>, limits: HeadLimits) -> Poll<()> {
        let now = Instant::now();
        let due = if self.heard {
            self.begun_at.get_or_insert(now).checked_add(limits.head)
        } else {
            self.idle_since.get_or_insert(now).checked_add(limits.idle)
        };
        self.deadline.poll(context, due)
    }
}

impl Corked {
    /// Reads and drops what a stream's client sends, up to the bound.
    fn poll_input(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while !self.input_ended && self.input_bytes <= STREAM_INPUT_BYTES_MAX {
            let mut room = [0; 4096];
            let mut buffer = ReadBuf::new(&mut room);
            let socket = self.socket.as_mut().ok_or_else(taken)?;
            match Pin::new(socket).poll_read(context, &mut buffer)? {
                Poll::Pending => break,
                Poll::Ready(()) if buffer.filled().is_empty() => self.input_ended = true,
                Poll::Ready(()) => self.input_bytes += buffer.filled().len(),
            }
        }
        Ok(())
    }

    fn gather(&mut self, bytes: &[u8]) {
        if self.gathered.capacity() == 0 {
            self.gathered = SPARE.take();
        }
        self.gathered.extend_from_slice(bytes);
    }

    fn poll_uncork(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.gathered.len() {
            let socket = self.socket.as_mut().ok_or_else(taken)?;
            let written = ready!(Pin::new(socket).poll_write(context, &self.gathered[self.written..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
        self.release();
        Poll::Ready(Ok(()))
    }

    fn release(&mut self) {
        self.written = 0;
        if self.gathered.capacity() > 0 {
            let mut room = std::mem::take(&mut self.gathered);
            room.clear();
            SPARE.set(room);
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        // Whatever was said before, this comes after it.
        self.flushed = None;
        let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
        if bytes >= LARGE_BYTES || self.gathered.len() + bytes > GATHERED_BYTES_MAX {
            ready!(self.poll_uncork(context))?;
        }
        if bytes >= LARGE_BYTES {
            let socket = self.socket.as_mut().ok_or_else(taken)?;
            return Pin::new(socket).poll_write_vectored(context, slices);
        }
        for slice in slices {
            self.gather(slice);
        }
        Poll::Ready(Ok(bytes))
    }
}

fn taken() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the socket was taken")
}

impl AsyncRead for CorkedSocket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut corked = self.0.lock();
        if corked.unread.has_remaining() {
            let len = corked.unread.len().min(buffer.remaining());
            buffer.put_slice(&corked.unread.split_to(len));
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let socket = corked.socket.as_mut().ok_or_else(taken)?;
        ready!(Pin::new(socket).poll_read(context, buffer))?;
        corked.head.heard |= buffer.filled().len() > before;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for CorkedSocket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.lock().poll_write(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.lock().poll_write(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper asks for this only when it has nothing left to write.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut corked = self.0.lock();
        corked.flushed = corked.offer.as_ref().and_then(|offer| offer.handoff.idle_epoch());
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut corked = self.0.lock();
        ready!(corked.poll_uncork(context))?;
        let socket = corked.socket.as_mut().ok_or_else(taken)?;
        Pin::new(socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    async fn pair() -> (CorkedSocket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (ours, _) = listener.accept().await.unwrap();
        ours.set_nodelay(true).unwrap();
        (
            CorkedSocket::new(GuardedSocket::new(ours, Duration::from_secs(60), Arc::default()), Bytes::new(), None),
            theirs,
        )
    }

    fn room(socket: &CorkedSocket) -> usize {
        socket.0.lock().gathered.capacity()
    }

    #[tokio::test]
    async fn what_is_written_in_pieces_leaves_in_one() {
        let (mut ours, mut theirs) = pair().await;
        for piece in ["HTTP/1.1 200 OK\r\n\r\n", "one", "two"] {
            ours.write_all(piece.as_bytes()).await.unwrap();
            ours.flush().await.unwrap();
        }
        let nothing = tokio::time::timeout(Duration::from_millis(20), theirs.readable()).await;
        assert!(nothing.is_err());
        poll_fn(|context| ours.poll_uncork(context)).await.unwrap();
        let mut read = [0; 64];
        let n = theirs.read(&mut read).await.unwrap();
        assert_eq!(&read[..n], b"HTTP/1.1 200 OK\r\n\r\nonetwo");
        assert_eq!(room(&ours), 0, "an idle connection has no room of its own");
    }

    /// However small and large pieces take turns, and whenever the socket is full.
    #[tokio::test]
    async fn the_order_is_kept_and_nobody_writes_more_than_there_is_room_for() {
        let (mut ours, mut theirs) = pair().await;
        let mut random = fastrand::Rng::with_seed(7);
        let pieces: Vec<Vec<u8>> = (0..600)
            .map(|_| {
                let bytes = if random.bool() { random.usize(1..200) } else { random.usize(1..40_000) };
                std::iter::repeat_with(|| random.u8(..)).take(bytes).collect()
            })
            .collect();
        let expected = pieces.concat();
        let writing = tokio::spawn(async move {
            for (number, piece) in pieces.iter().enumerate() {
                ours.write_all(piece).await.unwrap();
                assert!(room(&ours) <= 2 * GATHERED_BYTES_MAX);
                if number % 7 == 0 {
                    poll_fn(|context| ours.poll_uncork(context)).await.unwrap();
                }
            }
            // With what is still gathered before it.
            ours.shutdown().await.unwrap();
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut read = Vec::new();
        theirs.read_to_end(&mut read).await.unwrap();
        writing.await.unwrap();
        assert!(read == expected);
    }

    /// Flushed is what hyper had when the stream last had nothing to say. What it writes after that is not.
    #[tokio::test]
    async fn a_stream_is_due_once_all_that_it_said_has_come_out() {
        use http_body_util::BodyExt;

        let (mut ours, _theirs) = pair().await;
        let hub = tidecast::Hub::new();
        let request = http::Request::get("/").body(http_body_util::Empty::<Bytes>::new()).unwrap();
        let offer = crate::detach::offer(&request, true).unwrap();
        let handoff = offer.handoff.clone();
        let subscription = hub.subscribe(["a"], tidecast::Start::Live).unwrap();
        let stream = tidecast_axum::Sse::new(subscription).handoff(Some(handoff.clone()));
        let mut body = axum::response::IntoResponse::into_response(stream).into_body();
        ours.offer(offer);
        body.frame().await.unwrap().unwrap();
        ours.flush().await.unwrap();
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut is_due = |ours: &CorkedSocket| matches!(ours.poll_stream(&mut context), Streaming::Detachable(_));
        assert!(!is_due(&ours), "it may have more to say");
        let silent = async |body: &mut axum::body::Body| {
            assert!(tokio::time::timeout(Duration::from_millis(1), body.frame()).await.is_err());
        };
        silent(&mut body).await;
        assert!(!is_due(&ours), "not asked since");
        ours.flush().await.unwrap();
        assert!(is_due(&ours));
        // It says something, which hyper keeps while the socket is full, and falls silent again.
        hub.publish_now("a", tidecast::Event::text("more")).unwrap();
        body.frame().await.unwrap().unwrap();
        silent(&mut body).await;
        assert!(!is_due(&ours));
        ours.write_all(b"more").await.unwrap();
        assert!(!is_due(&ours));
        ours.flush().await.unwrap();
        assert!(is_due(&ours));
        let (_, unwritten) = CorkedSocket::take(&ours).unwrap();
        assert_eq!(unwritten, "more");
    }
}
