//! A stream with a subscription of its own: several channels, a reset to be told, or a page of history.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use tidecast::{
    Batch, Subscription,
    internals::{LogCursor, ReaderGroups},
    limits::READ_BYTES_DEFAULT,
};

use super::{slab::Token, task_queue::TaskQueue};

/// A stream with a subscription of its own.
#[derive(Debug)]
pub(super) struct FullStream {
    subscription: Subscription,
    waker: Waker,
    stream_waker: Arc<FullStreamWaker>,
}

/// Queues a stream when its subscription has events.
#[derive(Debug)]
struct FullStreamWaker {
    token: Token,
    queue: Arc<TaskQueue>,
    /// Whether the stream is queued, so that it is queued once.
    queued: AtomicBool,
}

impl FullStream {
    pub(super) fn new(subscription: Subscription, token: Token, queue: &Arc<TaskQueue>) -> Box<Self> {
        let stream_waker = Arc::new(FullStreamWaker { token, queue: queue.clone(), queued: AtomicBool::new(false) });
        Box::new(Self { subscription, waker: stream_waker.clone().into(), stream_waker })
    }

    /// Polls the subscription for its next events, up to one read.
    pub(super) fn poll_batch(&mut self, batch: &mut Batch) -> Poll<Option<()>> {
        // First, so that a wake-up from now on is queued.
        self.stream_waker.queued.store(false, Ordering::Release);
        self.subscription.poll_batch(&mut Context::from_waker(&self.waker), batch, READ_BYTES_DEFAULT)
    }

    /// Returns whether the stream may join a reader group: it has one channel.
    pub(super) fn has_one_channel(&self) -> bool {
        self.subscription.channels().count() == 1
    }

    /// Joins the reader group of its channel. Returns the key of the group and a cursor, or the stream if it can't.
    pub(super) fn attach(self, groups: &mut ReaderGroups) -> Result<(u32, LogCursor), Box<Self>> {
        let Self { subscription, waker, stream_waker } = self;
        groups
            .attach(subscription)
            .map_err(|subscription| Box::new(Self { subscription: *subscription, waker, stream_waker }))
    }
}

impl Wake for FullStreamWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.queue.push_woken(self.token);
        }
    }
}
