//! How a reader that waits in `poll` is woken: a file descriptor, a stream's own or one that many streams share.

pub(crate) mod selector;
pub(crate) mod stream_waker;
pub(crate) mod wake_fd;
