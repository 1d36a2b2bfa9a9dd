//! A client's socket: a look at it that takes nothing from it, and its end.

use std::os::fd::{BorrowedFd, RawFd};

use pyo3::prelude::*;
use rustix::{
    io::Errno,
    net::{RecvFlags, Shutdown, recv, shutdown},
};

/// See `_native.pyi`.
// Here, and not in Python: there a socket may be gevent's, which would wait, or TLS, which can't be looked into.
#[pyfunction]
#[allow(unsafe_code)]
pub(crate) fn peer_has_closed(fileno: RawFd) -> bool {
    if fileno < 0 {
        return true;
    }
    // SAFETY: it is borrowed for this one call. Where the number is no open socket any more the kernel says so; where it
    // has become another one, one byte of that is looked at and left where it is.
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

/// See `_native.pyi`.
// Here, and not in Python: gevent's would have whoever writes fail by another error than the one that servers expect.
#[pyfunction]
#[allow(unsafe_code)]
pub(crate) fn hang_up(fileno: RawFd) {
    if fileno >= 0 {
        // SAFETY: as above. The caller asks the socket for its number, with the interpreter's lock held from then on.
        let socket = unsafe { BorrowedFd::borrow_raw(fileno) };
        // It may have been closed by its client meanwhile.
        let _ = shutdown(socket, Shutdown::Both);
    }
}

/// See `_native.pyi`.
#[pyfunction]
#[allow(unsafe_code)]
pub(crate) fn unsent(fileno: RawFd) -> Option<i32> {
    let mut bytes = 0;
    // SAFETY: the call writes an integer to where there is room for one.
    let asked = unsafe { libc::ioctl(fileno, libc::TIOCOUTQ, &raw mut bytes) };
    (asked == 0).then_some(bytes)
}
