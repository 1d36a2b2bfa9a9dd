//! The end of a process: once it is told to go its streams end, each after what was published before.
//!
//! A server that is to go waits for its requests, and a stream never ends by itself. SIGTERM is heard beside the handler
//! that was there, which runs first. If the signal would end the process at once, or is ignored, there is nothing to hear.
//! What else tells a worker to go is the package's to see.

pub(crate) mod open_streams;

use std::{
    mem::{ManuallyDrop, MaybeUninit},
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

use crate::{notify::wake_fd::WakeFd, shutdown::open_streams::OpenStreams};

/// The streams of this process, and what ends them.
pub(crate) struct Process {
    pid: u32,
    pub(crate) streams: OpenStreams,
    /// Set once the process is told to go.
    told: Arc<WakeFd>,
    hears_sigterm: AtomicBool,
}

/// That of this process, or of a parent, which is left as it is.
static PRESENT: Mutex<Option<ManuallyDrop<Arc<Process>>>> = Mutex::new(None);

impl Process {
    /// Returns that of this process, made at the first call in it. To be called attached to the interpreter, as a fork
    /// must not find the lock taken.
    pub(crate) fn present() -> PyResult<Arc<Self>> {
        let mut slot = PRESENT.lock();
        let known = slot.as_ref().filter(|present| present.pid == process::id());
        let present = if let Some(present) = known {
            Arc::clone(present)
        } else {
            let told = WakeFd::new()?;
            let hears_sigterm = AtomicBool::default();
            let made = Arc::new(Self { pid: process::id(), streams: OpenStreams::default(), told, hears_sigterm });
            let ended = made.clone();
            let listen = move || ended.listen();
            thread::Builder::new().name("tidecast-end".to_owned()).stack_size(STACK_BYTES).spawn(listen)?;
            *slot = Some(ManuallyDrop::new(made.clone()));
            made
        };
        drop(slot);
        // A program may come to handle it only after its first stream.
        if !present.hears_sigterm.load(Ordering::Relaxed) && present.hear(libc::SIGTERM) {
            present.hears_sigterm.store(true, Ordering::Relaxed);
        }
        Ok(present)
    }

    /// Ends the streams at a signal too, if somebody handles it; returns whether that is so.
    #[allow(unsafe_code)]
    fn hear(&self, signal: i32) -> bool {
        let Some(before) =
            action(signal).filter(|before| !matches!(before.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN))
        else {
            return false;
        };
        let (told, pid) = (self.told.clone(), self.pid);
        // A child inherits the handler, and the descriptor: without a look at the pid it would end its parent's streams.
        let tell = move || {
            if process::id() == pid {
                told.set();
            }
        };
        // SAFETY: the action does what a signal handler may: getpid, an atomic, a write. It takes no lock and no memory.
        if unsafe { signal_hook_registry::register(signal, tell) }.is_err() {
            return false;
        }
        // The registry restarts what a signal interrupts. A main thread that waits for a lock would go on waiting, and
        // the interpreter would never come to run the handler.
        if before.sa_flags & libc::SA_RESTART == 0
            && let Some(mut now) = action(signal)
        {
            now.sa_flags &= !libc::SA_RESTART;
            // SAFETY: it is the action in force, with a flag less.
            unsafe { libc::sigaction(signal, &raw const now, ptr::null_mut()) };
        }
        true
    }

    fn listen(&self) {
        while !self.told.wait(Duration::from_secs(3600)) {}
        self.streams.end();
    }
}

/// See `_native.pyi`.
#[pyfunction]
pub(crate) fn end_streams() -> PyResult<()> {
    Process::present().map(|process| process.told.set())
}

/// See `_native.pyi`.
#[pyfunction]
pub(crate) fn end_streams_on_signal(signal: i32) -> PyResult<bool> {
    Process::present().map(|process| process.hear(signal))
}

/// See `_native.pyi`.
#[pyfunction]
pub(crate) fn streams_are_ending() -> bool {
    let slot = PRESENT.lock();
    slot.as_ref().is_some_and(|process| process.pid == process::id() && process.streams.is_ending())
}

/// Returns what the process does at a signal. Asked of the system, as not every handler is known to the interpreter.
#[allow(unsafe_code)]
fn action(signal: i32) -> Option<libc::sigaction> {
    let mut present = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action the call only writes to the old one, which has its size.
    let asked = unsafe { libc::sigaction(signal, ptr::null(), present.as_mut_ptr()) };
    // SAFETY: the call has succeeded, so it was written.
    (asked == 0).then(|| unsafe { present.assume_init() })
}

/// It calls little, and nothing deep.
const STACK_BYTES: usize = 256 * 1024;
