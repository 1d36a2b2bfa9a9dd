//! SIGTERM: heard beside whoever has handled it before, so that streams end in time.
//!
//! A server that is told to end waits for its requests, and a stream is one that never ends by itself. The process' own
//! handler runs first, as if nobody else had asked. Where the signal would end the process at once, or is ignored, there
//! is nothing to hear.

use std::{mem::MaybeUninit, process, ptr, sync::Arc};

use signal_hook_registry::SigId;

use crate::readable::Readable;

/// While it lives, a [`Readable`] is told. Dropping it ends that.
pub(crate) struct Termination(Option<SigId>);

impl Termination {
    /// Has it told from now on, in this process.
    #[allow(unsafe_code)]
    pub(crate) fn tell(told: &Arc<Readable>) -> Self {
        if !is_handled() {
            return Self(None);
        }
        let (told, pid) = (told.clone(), process::id());
        // A child inherits the handler, and the descriptor: without a look at the pid it would end its parent's streams.
        let action = move || {
            if process::id() == pid {
                told.set();
            }
        };
        // SAFETY: the action does what a signal handler may: getpid, an atomic, a write. It takes no lock and no memory.
        let id = unsafe { signal_hook_registry::register(libc::SIGTERM, action) };
        Self(id.ok())
    }
}

impl Drop for Termination {
    fn drop(&mut self) {
        if let Some(id) = self.0.take() {
            signal_hook_registry::unregister(id);
        }
    }
}

/// Whether somebody handles the signal. Asked of the system, as not every handler is known to the interpreter.
#[allow(unsafe_code)]
fn is_handled() -> bool {
    let mut present = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action the call only writes to the old one, which has its size.
    if unsafe { libc::sigaction(libc::SIGTERM, ptr::null(), present.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: the call has succeeded, so it was written.
    let handler = unsafe { present.assume_init() }.sa_sigaction;
    handler != libc::SIG_DFL && handler != libc::SIG_IGN
}
