//! Waking a reader that waits in `poll`: by a file descriptor of a stream, or by one that many streams share.

pub(crate) mod selector;
pub(crate) mod stream_waker;
pub(crate) mod wake_fd;
