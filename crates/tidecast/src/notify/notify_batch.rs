//! Deferred notifications: events that a thread publishes together wake each channel's readers once.
//!
//! A batch, or several requests in one packet, append several events to a channel. Without this, its readers would be
//! woken, and their sockets written to, once per event.

use std::{cell::RefCell, marker::PhantomData, mem, ptr, sync::Arc};

/// Most channels that wait to be notified. One more is notified at once.
const PENDING_MAX: usize = 64;

thread_local! {
    static PENDING: RefCell<Pending> = const { RefCell::new(Pending { batches: 0, channels: Vec::new() }) };
}

struct Pending {
    batches: usize,
    channels: Vec<Arc<dyn Notify>>,
}

/// Anything with readers to be told of news.
pub(crate) trait Notify {
    /// Tells every reader that there is something to read.
    fn notify(&self);
}

/// Defers notifications on this thread until it is dropped; each channel is then notified once.
///
/// It is meant for a batch, or for one poll, because events are read only afterwards. At most 64 channels wait; any other
/// is notified at once. A batch within another has no effect.
#[derive(Debug)]
#[must_use = "notifications are deferred while it lives"]
pub struct NotifyBatch {
    /// Bound to its thread.
    _not_send: PhantomData<*const ()>,
}

impl NotifyBatch {
    /// Defers the notifications of this thread from now on.
    pub fn begin() -> Self {
        PENDING.with_borrow_mut(|pending| pending.batches += 1);
        Self { _not_send: PhantomData }
    }
}

impl Drop for NotifyBatch {
    fn drop(&mut self) {
        let mut channels = PENDING.with_borrow_mut(|pending| {
            pending.batches -= 1;
            if pending.batches == 0 { mem::take(&mut pending.channels) } else { Vec::new() }
        });
        for channel in channels.drain(..) {
            channel.notify();
        }
        // The memory is used again, unless another batch has begun meanwhile.
        PENDING.with_borrow_mut(|pending| {
            if pending.channels.capacity() == 0 {
                pending.channels = channels;
            }
        });
    }
}

/// Notifies a channel's readers, now or at the end of this thread's batch.
pub(crate) fn notify(channel: &Arc<impl Notify + 'static>) {
    // A thread that is ending has no pending set any more.
    let is_deferred = PENDING.try_with(|pending| {
        let mut pending = pending.borrow_mut();
        if pending.batches == 0 {
            return false;
        }
        if pending.channels.iter().any(|waiting| ptr::addr_eq(Arc::as_ptr(waiting), Arc::as_ptr(channel))) {
            return true;
        }
        let has_room = pending.channels.len() < PENDING_MAX;
        if has_room {
            pending.channels.push(channel.clone());
        }
        has_room
    });
    if !is_deferred.unwrap_or(false) {
        channel.notify();
    }
}
