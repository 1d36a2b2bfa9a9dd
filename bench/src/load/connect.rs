//! Connecting without waiting: many sockets at once, as browsers come back after a server has started again.

use std::{
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::Result;
use rustix::{
    event::{Timespec, epoll},
    fd::OwnedFd,
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, connect, socket_with},
};

/// A socket that is on its way to the server: it takes bytes as soon as epoll says so.
pub(crate) fn begin(address: SocketAddr) -> Result<TcpStream> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    match connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(TcpStream::from(socket)),
        Err(error) => Err(error.into()),
    }
}

/// Edges, of all that a stream can have: so nothing is asked of epoll again while a socket lives.
pub(crate) fn watch(epoll: &OwnedFd, socket: &TcpStream, number: u64) -> Result<()> {
    let edges = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
    Ok(epoll::add(epoll, socket, epoll::EventData::new_u64(number), edges)?)
}

/// Waits for at most `ready`'s capacity of events.
pub(crate) fn wait(epoll: &OwnedFd, ready: &mut Vec<epoll::Event>, time: Duration) -> Result<()> {
    ready.clear();
    let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
    match epoll::wait(epoll, rustix::buffer::spare_capacity(ready), Some(&time)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
