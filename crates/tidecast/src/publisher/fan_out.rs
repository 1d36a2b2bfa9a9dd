//! One publish into the logs of all that it is for: all at once, one publish after another.
//!
//! Under the turn, frames are put in by reference and nothing else is done: what they are is made before it, and readers
//! are woken after it. So every subscriber has the events of several threads in the same order.

use std::{collections::HashMap, future::poll_fn, ops::ControlFlow, task::Poll, task::Waker};

use super::{feed_batch::Addressed, feed_log::Put};
use crate::sync::Mutex;

#[derive(Default)]
pub(super) struct FanOut {
    turn: Mutex<()>,
    waiting: Mutex<Waiting>,
}

/// Those who publish and wait for room: as many as the program has publishes under way.
#[derive(Default)]
struct Waiting {
    wakers: HashMap<u64, Waker>,
    last_key: u64,
}

/// What came of a publish.
#[derive(Debug, Default)]
pub(super) struct Posted {
    pub(super) copies: usize,
    /// The keys of those whose feed ended by it.
    pub(super) ended: Vec<u64>,
}

impl FanOut {
    /// Gives everybody what is for them, or, where somebody has to be waited for, nobody anything.
    pub(super) fn post_now<P>(&self, addressed: &Addressed<P>) -> Option<Posted> {
        let mut posted = Posted::default();
        {
            let _turn = self.turn.lock();
            // Nobody else can take the room that is found, and those who read only make more.
            let full = addressed.try_each(|member, frame| {
                if member.log.is_ready_for(frame) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            if full.is_break() {
                return None;
            }
            addressed.each(|member, frame| match member.log.put(frame) {
                Put::In => posted.copies += 1,
                Put::Ended => {}
                Put::Overflowed => posted.ended.push(member.key),
            });
        }
        addressed.each(|member, _| member.log.ring());
        Some(posted)
    }

    /// The same, once everybody has room.
    pub(super) async fn post<P>(&self, addressed: &Addressed<P>) -> Posted {
        if let Some(posted) = self.post_now(addressed) {
            return posted;
        }
        let place = Place { fan_out: self, key: self.waiting.lock().next_key() };
        poll_fn(|context| {
            place.wait(context.waker());
            // Looked at after the waker is there: who made room before found nobody to wake.
            self.post_now(addressed).map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Somebody who was waited for has read, or left.
    pub(super) fn room_was_made(&self) {
        let woken = std::mem::take(&mut self.waiting.lock().wakers);
        for waker in woken.into_values() {
            waker.wake();
        }
    }
}

impl Waiting {
    fn next_key(&mut self) -> u64 {
        self.last_key += 1;
        self.last_key
    }
}

/// A publish that waits; dropping it is no longer waiting.
struct Place<'a> {
    fan_out: &'a FanOut,
    key: u64,
}

impl Place<'_> {
    fn wait(&self, waker: &Waker) {
        let before = self.fan_out.waiting.lock().wakers.insert(self.key, waker.clone());
        drop(before);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let waker = self.fan_out.waiting.lock().wakers.remove(&self.key);
        drop(waker);
    }
}
