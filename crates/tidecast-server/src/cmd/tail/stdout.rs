//! Detects that the reader of standard output has gone.

use std::{future::pending, io, thread};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{FileType, fstat},
    io::Errno,
};
use tokio::sync::oneshot;

/// Waits until the reader of the pipe has gone; for ever if standard output is not a pipe.
///
/// A thread polls the pipe, because setting it to non-blocking would affect every process that shares it.
pub(super) async fn output_closed() {
    let is_pipe = |stat: rustix::fs::Stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo;
    if !fstat(io::stdout()).is_ok_and(is_pipe) {
        return pending().await;
    }
    let (closed, notified) = oneshot::channel();
    thread::spawn(move || {
        let output = io::stdout();
        // Polled for no event, it still reports that the other end was closed.
        let mut waiting = [PollFd::new(&output, PollFlags::empty())];
        loop {
            match poll(&mut waiting, None) {
                Ok(_) => {
                    let _ = closed.send(());
                    break;
                }
                Err(Errno::INTR) => {}
                // A write will fail instead.
                Err(_) => break,
            }
        }
    });
    if notified.await.is_err() {
        pending::<()>().await;
    }
}
