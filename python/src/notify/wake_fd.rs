//! A file descriptor that becomes readable: how a thread that waits in `poll` is told that there is something.
//!
//! On Linux an eventfd, elsewhere a pipe. However often it is set, it is written to once, until it is cleared.

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
    /// `None` where one descriptor is both.
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

    /// Makes it readable. Takes no lock and no memory, so a signal handler may do it.
    pub(crate) fn set(&self) {
        if !self.is_set.swap(true, Ordering::AcqRel) {
            // Where it is full it is readable.
            let _ = rustix::io::write(self.write.as_ref().unwrap_or(&self.read), &1_u64.to_ne_bytes());
        }
    }

    /// Makes it no longer readable; to be called before looking for what it told of. Whoever sets it in between, and
    /// writes only after, is read of once more for nothing, never missed.
    pub(crate) fn clear(&self) {
        // Once is enough: it is written to again only after the flag is taken back.
        let _ = rustix::io::read(&self.read, &mut [0; 64]);
        // A swap, not a store: it takes over what happened before whoever set it and found it set.
        self.is_set.swap(false, Ordering::AcqRel);
    }

    /// Waits until it is readable; `false` when the time is up.
    pub(crate) fn wait(&self, at_most: Duration) -> bool {
        let mut polled = [PollFd::new(&self.read, PollFlags::IN)];
        let timeout = Timespec::try_from(at_most).ok();
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
