//! Values that belong to the process that created them.
//!
//! The child of a fork has a copy of its parent's memory and shares its sockets, but has none of its threads. So it
//! neither uses nor drops such a value.

use std::{mem::ManuallyDrop, process};

pub(crate) struct ForkLocal<T> {
    pid: u32,
    /// `Some` until it is dropped.
    value: Option<ManuallyDrop<T>>,
}

impl<T> ForkLocal<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { pid: process::id(), value: Some(ManuallyDrop::new(value)) }
    }

    /// Returns the value; `None` in another process than its own.
    pub(crate) fn get(&self) -> Option<&T> {
        self.value.as_deref().filter(|_| self.pid == process::id())
    }
}

impl<T> Drop for ForkLocal<T> {
    fn drop(&mut self) {
        if self.pid == process::id()
            && let Some(value) = self.value.take()
        {
            drop(ManuallyDrop::into_inner(value));
        }
    }
}
