//! A socket that gathers what is written during one poll of a connection, so that the responses to requests that arrived
//! together leave together.
//!
//! hyper writes after each request. Those bytes wait here until its connection has nothing more to do, and then leave in one
//! write; large pieces pass straight through. The socket also knows when all that hyper had of a stream was written, which
//! is when the stream may be taken; see [`detach`](crate::detach).

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
use tidecast_axum::internals::LazyTimer;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use crate::{
    connection::head::{HeadTimeouts, HeadWatch},
    detach::Offer,
    limits::{EXPIRED_STALL_TIMEOUT, STREAM_INPUT_BYTES_MAX},
    listener::socket::Socket,
};

/// Most bytes that are gathered. Then they are written, and the writer waits.
const GATHERED_BYTES_MAX: usize = 64 * 1024;

/// Pieces of this size are written by themselves, because copying them costs more than another write.
const LARGE_BYTES: usize = 16 * 1024;

/// The end of a body in chunks.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

thread_local! {
    /// The buffer of the connection that is polled. A connection keeps it only while its client does not take the bytes in
    /// it, so an idle connection has none.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A handle on the socket, of which hyper and the task that polls hyper's connection have one each.
#[derive(Debug, Clone)]
pub(crate) struct CorkedSocket(Arc<Mutex<Corked>>);

#[derive(Debug)]
struct Corked {
    /// `None` once it was taken.
    socket: Option<Socket>,
    /// Bytes to be read before any others.
    unread: Bytes,
    gathered: Vec<u8>,
    /// How many of the gathered bytes are written.
    written: usize,
    /// The stream that is the current response.
    offer: Option<Offer>,
    /// How many bytes the client has sent after its request for the stream.
    input_bytes: usize,
    /// Whether the client has closed its side since.
    input_ended: bool,
    /// The idle epoch of the stream when hyper last had nothing more to write.
    flushed: Option<NonZeroU32>,
    head: HeadWatch,
    /// Looks at a stream after its deadline: hyper does not ask the body for its end while the client takes nothing.
    end_timer: LazyTimer,
    /// The last look at a stream after its deadline.
    end_check: Option<EndCheck>,
}

/// A look at a stream whose deadline has passed.
#[derive(Debug, Clone, Copy)]
struct EndCheck {
    /// How many bytes the client had acknowledged.
    acknowledged: u64,
    /// When it was due.
    at: Instant,
}

/// The state of the stream that is the current response.
#[derive(Debug)]
pub(crate) enum StreamState {
    /// It has bytes to be written, or the response is no stream.
    Active,
    /// It needs hyper no more.
    Detachable(Offer),
    /// Its client has closed its side, and all bytes were written.
    ClientClosed,
    /// Its client keeps sending.
    TooMuchInput,
    /// Its deadline has passed, and its client takes the last bytes too slowly or not at all.
    Overdue,
    /// Its connection failed.
    Broken,
}

impl CorkedSocket {
    /// Creates a handle on a socket of which `unread` was read already, the first byte of it at `begun_at`.
    pub(crate) fn new(socket: Socket, unread: Bytes, begun_at: Option<Instant>) -> Self {
        let head = HeadWatch::new(!unread.is_empty(), begun_at);
        Self(Arc::new(Mutex::new(Corked {
            socket: Some(socket),
            unread,
            gathered: Vec::new(),
            written: 0,
            offer: None,
            input_bytes: 0,
            input_ended: false,
            flushed: None,
            head,
            end_timer: LazyTimer::default(),
            end_check: None,
        })))
    }

    /// Notes that hyper waits for the head of the next request.
    pub(crate) fn wait_for_head(&self) {
        let mut corked = self.0.lock();
        // Bytes that were read before hyper was set up belong to the first request.
        let begun = corked.unread.has_remaining();
        corked.head.restart(begun);
    }

    /// Waits until that head is overdue.
    pub(crate) fn poll_overdue(&self, context: &mut Context<'_>, timeouts: HeadTimeouts) -> Poll<()> {
        self.0.lock().head.poll_overdue(context, timeouts)
    }

    /// Writes the gathered bytes. To be called after each poll of the connection.
    pub(crate) fn poll_uncork(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().poll_uncork(context)
    }

    /// Notes that the current response is a stream.
    pub(crate) fn offer(&self, offer: Offer) {
        self.0.lock().offer = Some(offer);
    }

    /// Returns the state of the stream that is the current response. To be called after each poll of the connection,
    /// because hyper does not read while it responds.
    pub(crate) fn poll_stream(&self, context: &mut Context<'_>) -> StreamState {
        let mut corked = self.0.lock();
        let Some(offer) = corked.offer.clone() else { return StreamState::Active };
        if corked.poll_input(context).is_err() {
            return StreamState::Broken;
        }
        if corked.input_bytes > STREAM_INPUT_BYTES_MAX {
            return StreamState::TooMuchInput;
        }
        if let Some(deadline) = offer.deadline
            && corked.poll_end_overdue(context, deadline.at).is_ready()
        {
            return StreamState::Overdue;
        }
        let all_written = offer.handoff.idle_epoch().is_some_and(|epoch| corked.flushed == Some(epoch));
        match all_written {
            true if offer.detaches => StreamState::Detachable(offer),
            true if corked.input_ended => {
                if offer.chunked {
                    corked.gather(LAST_CHUNK);
                }
                StreamState::ClientClosed
            }
            _ => StreamState::Active,
        }
    }

    /// Takes the socket, and the bytes that are still to be written to it.
    pub(crate) fn take(&self) -> Option<(Socket, Bytes)> {
        let mut corked = self.0.lock();
        let unwritten = Bytes::copy_from_slice(&corked.gathered[corked.written..]);
        corked.release();
        Some((corked.socket.take()?, unwritten))
    }
}

impl Corked {
    /// Reads and drops what the client of a stream sends, up to the limit.
    fn poll_input(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while !self.input_ended && self.input_bytes <= STREAM_INPUT_BYTES_MAX {
            let mut array = [0; 4096];
            let mut buffer = ReadBuf::new(&mut array);
            let socket = self.socket.as_mut().ok_or_else(taken)?;
            match Pin::new(socket).poll_read(context, &mut buffer)? {
                Poll::Pending => break,
                Poll::Ready(()) if buffer.filled().is_empty() => self.input_ended = true,
                Poll::Ready(()) => self.input_bytes += buffer.filled().len(),
            }
        }
        Ok(())
    }

    /// Waits until the end of a stream has taken longer than the stall timeout since its deadline, or the client has
    /// acknowledged nothing for [`EXPIRED_STALL_TIMEOUT`]. Then the connection is to be closed.
    fn poll_end_overdue(&mut self, context: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        loop {
            let Some(socket) = &mut self.socket else { return Poll::Ready(()) };
            let stall_timeout = socket.stall_timeout();
            let interval = EXPIRED_STALL_TIMEOUT.min(stall_timeout);
            let overdue_at = deadline.checked_add(stall_timeout);
            let next_at = self.end_check.map_or(deadline, |check| check.at + interval);
            ready!(self.end_timer.poll(context, Some(overdue_at.map_or(next_at, |at| at.min(next_at)))));
            let (now, acknowledged) = (Instant::now(), socket.acknowledged());
            let takes_nothing =
                now >= next_at && self.end_check.is_some_and(|check| check.acknowledged == acknowledged);
            if takes_nothing {
                // Otherwise the kernel goes on sending what it has.
                socket.discard_on_close();
            }
            if takes_nothing || overdue_at.is_some_and(|at| now >= at) {
                socket.count_stalled();
                return Poll::Ready(());
            }
            self.end_check = Some(EndCheck { acknowledged, at: next_at });
        }
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
            let mut buffer = std::mem::take(&mut self.gathered);
            buffer.clear();
            SPARE.set(buffer);
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        // These bytes come after those that were flushed.
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
        if buffer.filled().len() > before {
            corked.head.begin();
        }
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

    /// Notes the idle epoch of the stream: hyper flushes only when it has nothing left to write.
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
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::listener::socket::RawSocket;

    async fn pair() -> (CorkedSocket, TcpStream) {
        pair_with(Duration::from_secs(60)).await
    }

    async fn pair_with(stall_timeout: Duration) -> (CorkedSocket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (ours, _) = listener.accept().await.unwrap();
        ours.set_nodelay(true).unwrap();
        let ours = RawSocket::from(ours.into_std().unwrap());
        let ours = Socket::register(ours, stall_timeout, Arc::default()).unwrap();
        (CorkedSocket::new(ours, Bytes::new(), None), theirs)
    }

    fn capacity(socket: &CorkedSocket) -> usize {
        socket.0.lock().gathered.capacity()
    }

    #[tokio::test]
    async fn pieces_leave_in_one_write() {
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
        assert_eq!(capacity(&ours), 0, "an idle connection has no buffer");
    }

    /// Small and large pieces take turns, and the socket is full at any point.
    #[tokio::test]
    async fn the_order_is_kept_and_the_buffer_stays_bounded() {
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
                assert!(capacity(&ours) <= 2 * GATHERED_BYTES_MAX);
                if number % 7 == 0 {
                    poll_fn(|context| ours.poll_uncork(context)).await.unwrap();
                }
            }
            // Writes the gathered bytes first.
            ours.shutdown().await.unwrap();
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut read = Vec::new();
        theirs.read_to_end(&mut read).await.unwrap();
        writing.await.unwrap();
        assert!(read == expected);
    }

    /// While a client takes nothing, hyper does not notice that the lifetime of its stream is over.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_after_the_deadline_is_reset() {
        let bytes = vec![b'x'; 32 << 20];
        for (stall_timeout, limit) in [(60, EXPIRED_STALL_TIMEOUT), (3, Duration::from_secs(3))] {
            let (mut ours, mut theirs) = pair_with(Duration::from_secs(stall_timeout)).await;
            let written = tokio::time::timeout(Duration::from_millis(1), ours.write_all(&bytes)).await;
            assert!(written.is_err(), "the socket is full");
            let deadline = Instant::now();
            poll_fn(|context| ours.0.lock().poll_end_overdue(context, deadline)).await;
            let waited = deadline.elapsed();
            assert!((limit..limit + Duration::from_secs(1)).contains(&waited), "{waited:?}");
            drop(ours);
            let error = theirs.read_to_end(&mut Vec::new()).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
    }

    /// A flush covers what hyper had when the stream was last idle, and no later bytes.
    #[tokio::test]
    async fn a_stream_is_detachable_once_all_its_bytes_were_written() {
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
        let mut is_detachable =
            |ours: &CorkedSocket| matches!(ours.poll_stream(&mut context), StreamState::Detachable(_));
        assert!(!is_detachable(&ours), "it may have more");
        let idle = async |body: &mut axum::body::Body| {
            assert!(tokio::time::timeout(Duration::from_millis(1), body.frame()).await.is_err());
        };
        idle(&mut body).await;
        assert!(!is_detachable(&ours), "it was idle only since");
        ours.flush().await.unwrap();
        assert!(is_detachable(&ours));
        // An event, which hyper keeps while the socket is full, and then it is idle again.
        hub.publish_now("a", tidecast::Event::text("more")).unwrap();
        body.frame().await.unwrap().unwrap();
        idle(&mut body).await;
        assert!(!is_detachable(&ours));
        ours.write_all(b"more").await.unwrap();
        assert!(!is_detachable(&ours));
        ours.flush().await.unwrap();
        assert!(is_detachable(&ours));
        let (_, unwritten) = CorkedSocket::take(&ours).unwrap();
        assert_eq!(unwritten, "more");
    }
}
