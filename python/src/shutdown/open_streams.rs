//! The streams of a process that are open: who they are, and that they are to end.
//!
//! It wakes them and no more: each ends by itself, after what was published before.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use crate::notify::stream_waker::StreamWaker;

#[derive(Default)]
pub(crate) struct OpenStreams(Mutex<Streams>);

#[derive(Default)]
struct Streams {
    /// Whether the process was told to end: who comes now is told to come back.
    ending: bool,
    next: u64,
    open: HashMap<u64, Arc<StreamWaker>>,
}

impl OpenStreams {
    /// Enters a stream, to be woken at the end. Answers with its number, under which it leaves.
    pub(crate) fn enter(&self, waker: &Arc<StreamWaker>) -> u64 {
        let mut streams = self.0.lock();
        streams.next += 1;
        let number = streams.next;
        streams.open.insert(number, waker.clone());
        number
    }

    pub(crate) fn leave(&self, number: u64) {
        self.0.lock().open.remove(&number);
    }

    /// Whether they are to end at what was published by now.
    pub(crate) fn is_ending(&self) -> bool {
        self.0.lock().ending
    }

    /// Has all end, and those that come later.
    pub(crate) fn end(&self) {
        let mut streams = self.0.lock();
        streams.ending = true;
        for waker in streams.open.values() {
            waker.set();
        }
    }
}
