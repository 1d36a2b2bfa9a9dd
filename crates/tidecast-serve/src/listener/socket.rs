//! A client's socket: how it is set up, and that it is cut when its client takes nothing.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

use crate::{config::Config, limits::USER_TIMEOUT, observe::metrics::Counters};

/// Sets a socket's options.
pub(crate) fn set_up(socket: &TcpStream, config: &Config) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    if config.send_buffer_bytes > 0 {
        socket.set_send_buffer_size(config.send_buffer_bytes)?;
    }
    #[cfg(target_os = "linux")]
    // Longer than a stall may take: the kernel counts a client that takes nothing as one that does not answer.
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT.max(config.stall_timeout.saturating_add(USER_TIMEOUT / 3))))?;
    // With keep-alive comments there is always something on its way that finds out about a client that vanished.
    if config.streams.keep_alive.is_zero() {
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(USER_TIMEOUT))?;
    }
    Ok(())
}

/// A socket that fails when something has been waiting to be written for too long and nothing of it was taken.
#[derive(Debug)]
pub(crate) struct GuardedSocket {
    socket: TcpStream,
    stall_timeout: Duration,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Whether it took nothing for too long: it is counted once, however often it is written to after that.
    cut: bool,
    counters: Arc<Counters>,
}

impl GuardedSocket {
    pub(crate) fn new(socket: TcpStream, stall_timeout: Duration, counters: Arc<Counters>) -> Self {
        Self { socket, stall_timeout, stalled: None, cut: false, counters }
    }

    /// Returns the client's address. It asks the system.
    pub(crate) fn peer(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// Returns whether bytes wait to be read. It asks the system, which knows sooner than the runtime.
    pub(crate) fn has_unread(&self) -> bool {
        matches!(SockRef::from(&self.socket).peek(&mut [std::mem::MaybeUninit::uninit()]), Ok(1..))
    }

    /// The socket, which nothing guards any more.
    pub(crate) fn into_inner(self) -> TcpStream {
        self.socket
    }

    fn guard<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stall_timeout = self.stall_timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(stall_timeout)));
        if stalled.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        if !std::mem::replace(&mut self.cut, true) {
            self.counters.count_stalled();
        }
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client took nothing for too long")))
    }
}

impl AsyncRead for GuardedSocket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for GuardedSocket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write(context, bytes);
        this.guard(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write_vectored(context, slices);
        this.guard(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}
