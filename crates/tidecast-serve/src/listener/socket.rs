//! A client's socket: its options, and a time limit for clients that take nothing.
//!
//! This is the only file of the crate with `unsafe` code, for a question to the kernel that no safe interface has.

use std::{
    io,
    mem::MaybeUninit,
    net::{self, Shutdown},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tidecast_axum::internals::LazyTimer;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};

use crate::{
    counters::{ConnectionCounters, count},
    limits::USER_TIMEOUT,
    options::ServeOptions,
};

/// A client's socket that belongs to no runtime. Its reads and writes never block.
#[derive(Debug)]
pub struct RawSocket(net::TcpStream);

impl RawSocket {
    /// Sets the options of the socket.
    pub(crate) fn configure(&self, options: &ServeOptions) -> io::Result<()> {
        self.0.set_nodelay(true)?;
        let socket = SockRef::from(&self.0);
        if options.send_buffer_bytes > 0 {
            socket.set_send_buffer_size(options.send_buffer_bytes)?;
        }
        // Longer than the stall timeout: to the kernel, a client that takes nothing is one that does not answer.
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(USER_TIMEOUT.max(options.stall_timeout.saturating_add(USER_TIMEOUT / 3))))?;
        // Keep-alive comments find a client that has vanished; without them, the kernel has to.
        if options.streams.keep_alive.is_zero() {
            socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(USER_TIMEOUT))?;
        }
        Ok(())
    }

    /// Closes the sending side.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }
}

/// Makes the kernel discard what is still to be sent when the socket is closed. For clients that take nothing.
pub(crate) fn discard_on_close(socket: &impl AsFd) {
    // A failure leaves the default: the kernel tries to send it for a while.
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

/// Returns how many written bytes the client has not acknowledged, or 0 if the system cannot tell.
#[expect(unsafe_code, reason = "see the head of this file")]
pub(crate) fn unacknowledged(socket: &impl AsFd) -> u64 {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open, and the request writes one `int`.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result == 0 { u64::try_from(bytes).unwrap_or_default() } else { 0 }
}

impl AsFd for RawSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl io::Read for RawSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl From<net::TcpStream> for RawSocket {
    /// Takes a socket that does not block.
    fn from(socket: net::TcpStream) -> Self {
        Self(socket)
    }
}

impl From<OwnedFd> for RawSocket {
    /// Takes a connected stream socket that does not block.
    fn from(socket: OwnedFd) -> Self {
        Self(socket.into())
    }
}

/// A client's socket on a runtime. A write fails once the client has taken none of the waiting bytes for the stall timeout.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    stall_timeout: Duration,
    /// Since when the client takes nothing. `None` while it takes what is written.
    stalled_since: Option<Instant>,
    timer: LazyTimer,
    /// Whether the stall was counted already: a caller may write again after an error.
    counted: bool,
    /// How many bytes were written.
    written: u64,
    counters: Arc<ConnectionCounters>,
}

impl Socket {
    /// Registers a socket with the current runtime.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn register(socket: RawSocket, stall_timeout: Duration, counters: Arc<ConnectionCounters>) -> io::Result<Self> {
        let stream = TcpStream::from_std(socket.0)?;
        let timer = LazyTimer::default();
        Ok(Self { stream, stall_timeout, stalled_since: None, timer, counted: false, written: 0, counters })
    }

    /// Takes the socket from its runtime.
    pub(crate) fn deregister(self) -> io::Result<RawSocket> {
        self.stream.into_std().map(RawSocket)
    }

    /// Returns whether bytes wait to be read. It asks the system, which knows sooner than the runtime.
    pub fn has_unread(&self) -> bool {
        matches!(SockRef::from(&self.stream).peek(&mut [MaybeUninit::uninit()]), Ok(1..))
    }

    pub(crate) fn stall_timeout(&self) -> Duration {
        self.stall_timeout
    }

    /// Returns how many bytes the client has acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.written.saturating_sub(unacknowledged(&self.stream))
    }

    /// Has the kernel discard what the client has not taken when the socket is closed.
    pub(crate) fn discard_on_close(&self) {
        discard_on_close(&self.stream);
    }

    /// Counts the cut of a client that takes too little, once.
    pub(crate) fn count_stalled(&mut self) {
        if !std::mem::replace(&mut self.counted, true) {
            count(&self.counters.stalled);
        }
    }

    fn poll_stalled(&mut self, context: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = &written {
            self.written += result.as_ref().map_or(0, |bytes| *bytes as u64);
            self.stalled_since = None;
            return written;
        }
        let since = *self.stalled_since.get_or_insert_with(Instant::now);
        if self.timer.poll(context, since.checked_add(self.stall_timeout)).is_pending() {
            return Poll::Pending;
        }
        self.count_stalled();
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client took no bytes within the stall timeout")))
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.poll_stalled(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.poll_stalled(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
