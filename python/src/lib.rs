//! What the Python package `tidecast` stands on: the engine as an object of the interpreter.
//!
//! It converts and calls. Nothing here waits: what may take time is begun, and a file descriptor tells when there is
//! something to be had; the waiting is Python's, where gevent can replace it. What the package is for, and all that knows
//! Flask, is Python's too.

// In the order in which a call meets them.
mod engine;
mod publisher;

mod decoder;
mod notify;
mod peer_socket;
mod shutdown;

mod error;

use pyo3::prelude::*;

/// The engine of the package `tidecast`.
// What a fork may find locked is reasoned about with the interpreter's lock, so a build without one has to take it back.
#[pymodule(gil_used = true)]
mod _native {
    #[pymodule_export]
    use crate::{
        decoder::{Decoder, check_channels},
        engine::Engine,
        engine::publish::{PendingPublish, Published},
        engine::stream::{Stream, commits_at_empty_line},
        notify::selector::Selector,
        peer_socket::{hang_up, peer_has_closed, unsent},
        publisher::Publisher,
        publisher::feed::Feed,
        publisher::pending_send::PendingSend,
        shutdown::{end_streams, end_streams_on_signal, streams_are_ending},
    };
}
