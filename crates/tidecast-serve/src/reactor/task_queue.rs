//! The tasks that other threads leave for a reactor, and how they wake it.
//!
//! The thread goes to sleep under the lock under which others add tasks, after a last look. A thread that comes later sees
//! that it sleeps and wakes it. So no task is missed, and nobody makes a system call for a thread that is awake.

use std::{
    io,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::Notify;

use super::slab::Token;
use crate::detach::Detached;

/// The tasks that the thread takes out together.
#[derive(Debug, Default)]
pub(super) struct Queued {
    /// The keys of reader groups with new events, each once.
    pub(super) groups: Vec<u32>,
    /// Streams whose own subscription was woken, each once.
    pub(super) woken: Vec<Token>,
    /// New streams.
    pub(super) detached: Vec<(Detached, LiveGuard)>,
}

/// The tasks that other threads leave for a reactor.
#[derive(Debug)]
pub(super) struct TaskQueue {
    inner: Mutex<QueueState>,
    eventfd: OwnedFd,
}

#[derive(Debug, Default)]
struct QueueState {
    queued: Queued,
    /// By key, whether the group is queued.
    group_queued: Vec<bool>,
    asleep: bool,
    control: Control,
}

/// Orders to the thread that are never taken back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Control {
    /// Every stream is to end once it has all its events.
    pub(super) closing: bool,
    /// The thread is to end, and all connections are to be cut.
    pub(super) cut: bool,
}

impl TaskQueue {
    pub(super) fn new() -> io::Result<Self> {
        let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { inner: Mutex::default(), eventfd })
    }

    /// Returns the descriptor that becomes readable when the thread is to wake up.
    pub(super) fn eventfd(&self) -> &OwnedFd {
        &self.eventfd
    }

    /// Queues a reader group that has new events.
    pub(super) fn push_group(&self, key: u32) {
        self.push(|inner| {
            let index = key as usize;
            if inner.group_queued.len() <= index {
                inner.group_queued.resize(index + 1, false);
            }
            if !std::mem::replace(&mut inner.group_queued[index], true) {
                inner.queued.groups.push(key);
            }
        });
    }

    /// Queues a stream whose subscription was woken. The caller ensures that it is queued once.
    pub(super) fn push_woken(&self, token: Token) {
        self.push(|inner| inner.queued.woken.push(token));
    }

    /// Queues a new stream.
    pub(super) fn push_detached(&self, detached: Detached, live: LiveGuard) {
        self.push(|inner| inner.queued.detached.push((detached, live)));
    }

    /// Has every stream end once it has all its events.
    pub(super) fn close(&self) {
        self.push(|inner| inner.control.closing = true);
    }

    /// Has the thread end.
    pub(super) fn cut(&self) {
        self.push(|inner| inner.control.cut = true);
    }

    /// Wakes the thread if it sleeps.
    pub(super) fn wake(&self) {
        self.push(|_| {});
    }

    /// Takes out all tasks. `queued` is empty, and its memory is used for the next ones.
    pub(super) fn take(&self, queued: &mut Queued) -> Control {
        let mut inner = self.inner.lock();
        std::mem::swap(&mut inner.queued, queued);
        for key in &queued.groups {
            inner.group_queued[*key as usize] = false;
        }
        inner.control
    }

    /// Returns whether the thread may sleep, which it then counts as doing: nothing is queued, and `seen` is the latest
    /// control.
    pub(super) fn try_sleep(&self, seen: Control) -> bool {
        let mut inner = self.inner.lock();
        let Queued { groups, woken, detached } = &inner.queued;
        let empty = groups.is_empty() && woken.is_empty() && detached.is_empty();
        inner.asleep = empty && seen == inner.control;
        inner.asleep
    }

    /// Notes that the thread is awake.
    pub(super) fn set_awake(&self) {
        self.inner.lock().asleep = false;
    }

    fn push(&self, task: impl FnOnce(&mut QueueState)) {
        let mut inner = self.inner.lock();
        task(&mut inner);
        // The first one wakes the thread, which from then on counts as awake.
        let wake = std::mem::replace(&mut inner.asleep, false);
        drop(inner);
        if wake {
            // It fails only if the counter is full, and then the thread is about to wake.
            let _ = rustix::io::write(&self.eventfd, &1_u64.to_ne_bytes());
        }
    }
}

/// The number of streams of a reactor, including those that are still queued.
#[derive(Debug)]
pub(super) struct LiveCount {
    count: AtomicUsize,
    /// Notified when a reactor has no stream left.
    emptied: Arc<Notify>,
}

/// One stream, which counts until this is dropped.
#[derive(Debug)]
pub(super) struct LiveGuard(Arc<LiveCount>);

impl LiveCount {
    pub(super) fn new(emptied: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self { count: AtomicUsize::new(0), emptied })
    }

    pub(super) fn get(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(super) fn add(self: &Arc<Self>) -> LiveGuard {
        self.count.fetch_add(1, Ordering::Relaxed);
        LiveGuard(self.clone())
    }
}

impl Drop for LiveGuard {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Control = Control { closing: false, cut: false };

    /// Returns how often the thread was woken.
    fn wakes(queue: &TaskQueue) -> u64 {
        let mut count = [0; 8];
        match rustix::io::read(queue.eventfd(), &mut count) {
            Ok(_) => u64::from_ne_bytes(count),
            Err(_) => 0,
        }
    }

    #[test]
    fn each_group_is_queued_once_and_only_a_sleeping_thread_is_woken() {
        let queue = TaskQueue::new().unwrap();
        let mut queued = Queued::default();
        for key in [3, 0, 3, 70, 0] {
            queue.push_group(key);
        }
        assert!(!queue.try_sleep(NONE));
        assert_eq!(wakes(&queue), 0);
        assert_eq!(queue.take(&mut queued), NONE);
        assert_eq!(std::mem::take(&mut queued).groups, [3, 0, 70]);
        assert!(queue.try_sleep(NONE));
        queue.push_group(3);
        queue.push_woken(Token::from_u64(9));
        assert_eq!(wakes(&queue), 1);
        queue.take(&mut queued);
        assert_eq!((&queued.groups[..], &queued.woken[..]), (&[3][..], &[Token::from_u64(9)][..]));
    }

    /// A control stays set, so it is compared with what the thread has seen rather than taken out.
    #[test]
    fn an_unseen_control_keeps_the_thread_awake() {
        let queue = TaskQueue::new().unwrap();
        queue.close();
        assert!(!queue.try_sleep(NONE));
        let seen = queue.take(&mut Queued::default());
        assert_eq!(seen, Control { closing: true, cut: false });
        assert!(queue.try_sleep(seen));
        queue.cut();
        assert_eq!(wakes(&queue), 1);
        assert!(!queue.try_sleep(seen));
        queue.set_awake();
        queue.wake();
        assert_eq!(wakes(&queue), 0);
    }
}
