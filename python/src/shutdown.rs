//! The end of a process: once it is told to stop, its streams end, each after the events published before.
//!
//! A server that stops waits for its requests, and a stream never ends by itself. SIGTERM is noticed beside the program's
//! handler, which runs first. Without a handler there is nothing to do: the signal ends the process at once, or is
//! ignored. The Python package notices the other ways of telling a worker to stop.

use std::{
    collections::HashMap,
    mem::MaybeUninit,
    process, ptr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use pyo3::prelude::*;

use crate::{
    fork_local::ForkLocal,
    notify::{stream_waker::StreamWaker, wake_fd::WakeFd},
};

/// The open streams of a process, and their end.
pub(crate) struct ProcessStreams {
    streams: Mutex<Streams>,
    /// Set once the process is told to stop.
    stop: Arc<WakeFd>,
    handles_sigterm: AtomicBool,
}

#[derive(Default)]
struct Streams {
    is_ending: bool,
    next: u64,
    open: HashMap<u64, Arc<StreamWaker>>,
}

/// A stream among the open ones, until it is dropped.
pub(crate) struct RegisteredStream {
    process: Arc<ProcessStreams>,
    number: u64,
}

static CURRENT: Mutex<Option<ForkLocal<Arc<ProcessStreams>>>> = Mutex::new(None);

impl ProcessStreams {
    /// Returns the streams of this process. Must be called attached to the interpreter, so that no fork finds the lock
    /// held.
    pub(crate) fn current() -> PyResult<Arc<Self>> {
        let mut slot = CURRENT.lock();
        let current = if let Some(current) = slot.as_ref().and_then(ForkLocal::get) {
            current.clone()
        } else {
            let created = Arc::new(Self {
                streams: Mutex::default(),
                stop: WakeFd::new()?,
                handles_sigterm: AtomicBool::default(),
            });
            let waiting = created.clone();
            let wait = move || waiting.wait_for_stop();
            thread::Builder::new().name("tidecast-end".to_owned()).stack_size(STACK_BYTES).spawn(wait)?;
            *slot = Some(ForkLocal::new(created.clone()));
            created
        };
        drop(slot);
        // A program may install its handler after the first stream.
        if !current.handles_sigterm.load(Ordering::Relaxed) && current.stop_on_signal(libc::SIGTERM) {
            current.handles_sigterm.store(true, Ordering::Relaxed);
        }
        Ok(current)
    }

    /// Adds a stream, whose waker is woken at the end.
    pub(crate) fn open(self: Arc<Self>, waker: &Arc<StreamWaker>) -> RegisteredStream {
        let mut streams = self.streams.lock();
        streams.next += 1;
        let number = streams.next;
        streams.open.insert(number, waker.clone());
        drop(streams);
        RegisteredStream { process: self, number }
    }

    /// Ends the streams also at a signal; returns `false` if the signal has no handler.
    #[allow(unsafe_code)]
    fn stop_on_signal(&self, signal: i32) -> bool {
        let Some(before) =
            action(signal).filter(|before| !matches!(before.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN))
        else {
            return false;
        };
        let (stop, pid) = (self.stop.clone(), process::id());
        // A child inherits the handler and the descriptor. Without this check it would end its parent's streams.
        let set = move || {
            if process::id() == pid {
                stop.set();
            }
        };
        // SAFETY: the action does only what a signal handler may: getpid, an atomic, a write. It neither locks nor
        // allocates.
        if unsafe { signal_hook_registry::register(signal, set) }.is_err() {
            return false;
        }
        // The registry sets SA_RESTART. A main thread that waits for a lock would then wait on, and the interpreter would
        // never run the program's handler.
        if before.sa_flags & libc::SA_RESTART == 0
            && let Some(mut now) = action(signal)
        {
            now.sa_flags &= !libc::SA_RESTART;
            // SAFETY: `now` is the action in force, with one flag less.
            unsafe { libc::sigaction(signal, &raw const now, ptr::null_mut()) };
        }
        true
    }

    fn wait_for_stop(&self) {
        while !self.stop.wait(Duration::from_secs(3600)) {}
        let mut streams = self.streams.lock();
        streams.is_ending = true;
        for waker in streams.open.values() {
            waker.set();
        }
    }

    fn is_ending(&self) -> bool {
        self.streams.lock().is_ending
    }
}

impl RegisteredStream {
    /// Returns whether it is to end after the events published so far.
    pub(crate) fn is_ending(&self) -> bool {
        self.process.is_ending()
    }
}

impl Drop for RegisteredStream {
    fn drop(&mut self) {
        self.process.streams.lock().open.remove(&self.number);
    }
}

#[pyfunction]
pub(crate) fn end_streams() -> PyResult<()> {
    ProcessStreams::current().map(|process| process.stop.set())
}

#[pyfunction]
pub(crate) fn end_streams_on_signal(signal: i32) -> PyResult<bool> {
    ProcessStreams::current().map(|process| process.stop_on_signal(signal))
}

#[pyfunction]
pub(crate) fn streams_are_ending() -> bool {
    CURRENT.lock().as_ref().and_then(ForkLocal::get).is_some_and(|process| process.is_ending())
}

/// Returns the action of a signal, from the system, because the interpreter does not know every handler.
#[allow(unsafe_code)]
fn action(signal: i32) -> Option<libc::sigaction> {
    let mut present = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action the call only writes the old one, for which there is room.
    let result = unsafe { libc::sigaction(signal, ptr::null(), present.as_mut_ptr()) };
    // SAFETY: the call has succeeded, so it has written the action.
    (result == 0).then(|| unsafe { present.assume_init() })
}

/// The thread makes no deep calls.
const STACK_BYTES: usize = 256 * 1024;
