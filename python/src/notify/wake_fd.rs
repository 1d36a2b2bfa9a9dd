//! A file descriptor that becomes readable to wake a thread that waits in `poll`.
//!
//! It is an eventfd on Linux, and a pair of sockets elsewhere. Setting it again before it is cleared writes nothing.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Wake,
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

#[derive(Debug)]
pub(crate) struct WakeFd {
    read: OwnedFd,
    /// `None` if `read` is also written to.
    write: Option<OwnedFd>,
    is_set: AtomicBool,
}

impl WakeFd {
    pub(crate) fn new() -> io::Result<Arc<Self>> {
        let (read, write) = descriptors()?;
        Ok(Arc::new(Self { read, write, is_set: AtomicBool::new(false) }))
    }

    pub(crate) fn fileno(&self) -> RawFd {
        self.read.as_raw_fd()
    }

    /// Makes it readable. Neither locks nor allocates, so a signal handler may call it.
    pub(crate) fn set(&self) {
        if !self.is_set.swap(true, Ordering::AcqRel) {
            // If it is full, it is readable.
            let _ = rustix::io::write(self.write.as_ref().unwrap_or(&self.read), &1_u64.to_ne_bytes());
        }
    }

    /// Makes it no longer readable. Must be called before looking for what it reported: a `set` in between may cause one
    /// look for nothing, and is never missed.
    pub(crate) fn clear(&self) {
        // One read suffices: it is written again only after the flag was reset.
        let _ = rustix::io::read(&self.read, &mut [0; 64]);
        // A swap, not a store, to acquire what a thread published before it found the flag set.
        self.is_set.swap(false, Ordering::AcqRel);
    }

    /// Waits until it is readable; returns `false` after the time-out.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let mut polled = [PollFd::new(&self.read, PollFlags::IN)];
        let timeout = Timespec::try_from(timeout).ok();
        poll(&mut polled, timeout.as_ref()).is_ok_and(|ready| ready > 0)
    }
}

impl AsFd for WakeFd {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.read.as_fd()
    }
}

impl Wake for WakeFd {
    fn wake(self: Arc<Self>) {
        self.set();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.set();
    }
}

#[cfg(target_os = "linux")]
fn descriptors() -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    use rustix::event::{EventfdFlags, eventfd};
    Ok((eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?, None))
}

#[cfg(not(target_os = "linux"))]
fn descriptors() -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    use std::os::unix::net::UnixStream;
    let (read, write) = UnixStream::pair()?;
    read.set_nonblocking(true)?;
    write.set_nonblocking(true)?;
    Ok((read.into(), Some(write.into())))
}
