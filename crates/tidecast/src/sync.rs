//! The locks and atomics of this crate.
//!
//! Under `--cfg tidecast_loom` they are loom's, which tries every order in which threads can meet.

#[cfg(not(tidecast_loom))]
mod imp {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    pub(crate) use atomic_waker::AtomicWaker;
    pub(crate) use parking_lot::{Mutex, MutexGuard};
}

#[cfg(tidecast_loom)]
mod imp {
    pub(crate) use loom::{
        future::AtomicWaker,
        sync::{
            MutexGuard,
            atomic::{AtomicBool, AtomicU64, Ordering},
        },
    };

    /// loom's mutex with the signatures of parking_lot's, which has no poisoning.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("a model's thread panicked")
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }
}

pub(crate) use imp::*;
