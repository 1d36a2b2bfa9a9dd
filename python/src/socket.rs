//! A look at a client's socket, without taking anything from it.

use std::os::fd::{BorrowedFd, RawFd};

use pyo3::prelude::*;
use rustix::{
    io::Errno,
    net::{RecvFlags, recv},
};

/// See `_native.pyi`.
// Here, and not in Python: there a socket may be gevent's, which would wait, or TLS, which can't be looked into.
#[pyfunction]
#[allow(unsafe_code)]
pub(crate) fn peer_is_gone(fileno: RawFd) -> bool {
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
