//! Whether anybody still reads standard output.

use std::{future::pending, io, thread};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{FileType, fstat},
    io::Errno,
};
use tokio::sync::oneshot;

/// Is ready once the reader of a pipe has gone. Of what is no pipe that can't be told, and it waits for ever.
///
/// A thread waits, because making the pipe one that never blocks would do so for everybody who shares it.
pub(super) async fn output_closed() {
    let is_pipe = |stat: rustix::fs::Stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo;
    if !fstat(io::stdout()).is_ok_and(is_pipe) {
        return pending().await;
    }
    let (gone, told) = oneshot::channel();
    thread::spawn(move || {
        let output = io::stdout();
        // Asked for nothing, it answers with what is always told: that the other end was closed.
        let mut waiting = [PollFd::new(&output, PollFlags::empty())];
        loop {
            match poll(&mut waiting, None) {
                Ok(_) => {
                    let _ = gone.send(());
                    break;
                }
                Err(Errno::INTR) => {}
                // Then a write will tell.
                Err(_) => break,
            }
        }
    });
    if told.await.is_err() {
        pending::<()>().await;
    }
}
