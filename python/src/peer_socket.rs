//! A client's socket: whether it was closed, how much of it is unsent, and its end.

use std::os::fd::{BorrowedFd, RawFd};

use pyo3::prelude::*;
use rustix::{
    io::Errno,
    net::{RecvFlags, Shutdown, recv, shutdown},
};

// Not in Python, where the socket may be gevent's, which would wait, or TLS, which cannot be peeked.
#[pyfunction]
#[allow(unsafe_code)]
pub(crate) fn peer_has_closed(fileno: RawFd) -> bool {
    if fileno < 0 {
        return true;
    }
    // SAFETY: the descriptor is borrowed for this call alone. If it is closed, the call fails; if its number was reused, one
    // byte of another descriptor is peeked and stays there.
    let socket = unsafe { BorrowedFd::borrow_raw(fileno) };
    let mut byte = [0];
    loop {
        return match recv(socket, &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Ok((_, received)) => received == 0,
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => false,
            Err(_) => true,
        };
    }
}

// Not in Python, where gevent's socket would make the writer fail with an error that servers do not expect.
#[pyfunction]
#[allow(unsafe_code)]
pub(crate) fn hang_up(fileno: RawFd) {
    if fileno >= 0 {
        // SAFETY: as above. The caller has just read the number from the socket, and has held the interpreter's lock since.
        let socket = unsafe { BorrowedFd::borrow_raw(fileno) };
        // Fails if the client has closed it meanwhile.
        let _ = shutdown(socket, Shutdown::Both);
    }
}

#[pyfunction]
#[allow(unsafe_code)]
pub(crate) fn unsent_bytes(fileno: RawFd) -> Option<i32> {
    let mut bytes = 0;
    // SAFETY: the call writes one integer, for which there is room.
    let result = unsafe { libc::ioctl(fileno, libc::TIOCOUTQ, &raw mut bytes) };
    (result == 0).then_some(bytes)
}
