//! Connects many sockets at once without waiting, as browsers do after a restart of the server.

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

/// Begins to connect a socket. It is writable as soon as it is connected.
pub(crate) fn begin(address: SocketAddr) -> Result<TcpStream> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    match connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(TcpStream::from(socket)),
        Err(error) => Err(error.into()),
    }
}

/// Registers a socket for all edges of a stream, so that epoll needs no later change.
pub(crate) fn watch(epoll: &OwnedFd, socket: &TcpStream, number: u64) -> Result<()> {
    let edges = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
    Ok(epoll::add(epoll, socket, epoll::EventData::new_u64(number), edges)?)
}

/// Waits for events, up to the capacity of `ready`.
pub(crate) fn wait(epoll: &OwnedFd, ready: &mut Vec<epoll::Event>, time: Duration) -> Result<()> {
    ready.clear();
    let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
    match epoll::wait(epoll, rustix::buffer::spare_capacity(ready), Some(&time)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
