//! Rings that wait: what a thread publishes in one go wakes each channel's readers once.
//!
//! A batch, or requests that came in one packet, append several events to a channel; to ring after each would have its
//! readers woken, and their sockets written to, as often.

use std::{cell::RefCell, marker::PhantomData, sync::Arc};

use crate::channel_log::ChannelLog;

/// How many channels wait to be rung at most; one more is rung at once.
const HELD_MAX: usize = 64;

thread_local! {
    static HELD: RefCell<Held> = const { RefCell::new(Held { holders: 0, logs: Vec::new() }) };
}

struct Held {
    holders: usize,
    logs: Vec<Arc<ChannelLog>>,
}

/// While it lives, what this thread appends rings nobody; when it is dropped, each channel is rung once.
///
/// For the time of a batch, or of one poll: what is published is read only after. At most 64 channels wait; more are rung
/// at once. One within another changes nothing.
#[derive(Debug)]
#[must_use = "rings are held while it lives"]
pub struct NotifyBatch {
    /// It is of its thread.
    _here: PhantomData<*const ()>,
}

impl NotifyBatch {
    /// Holds the rings of this thread from now on.
    pub fn begin() -> Self {
        HELD.with_borrow_mut(|held| held.holders += 1);
        Self { _here: PhantomData }
    }
}

impl Drop for NotifyBatch {
    fn drop(&mut self) {
        let mut logs = HELD.with_borrow_mut(|held| {
            held.holders -= 1;
            if held.holders == 0 { std::mem::take(&mut held.logs) } else { Vec::new() }
        });
        for log in logs.drain(..) {
            log.ring();
        }
        // The room is used again, unless somebody has held meanwhile.
        HELD.with_borrow_mut(|held| {
            if held.logs.capacity() == 0 {
                held.logs = logs;
            }
        });
    }
}

/// Rings a channel, now or when the rings of this thread are no longer held.
pub(crate) fn ring(log: &Arc<ChannelLog>) {
    // A thread that is ending has no such value any more, and rings.
    let held = HELD.try_with(|held| {
        let mut held = held.borrow_mut();
        if held.holders == 0 {
            return false;
        }
        if held.logs.iter().any(|waiting| Arc::ptr_eq(waiting, log)) {
            return true;
        }
        let room = held.logs.len() < HELD_MAX;
        if room {
            held.logs.push(log.clone());
        }
        room
    });
    if !held.unwrap_or(false) {
        log.ring();
    }
}
