//! The native module of the Python package `tidecast`: the engine as objects of the interpreter.
//!
//! It converts arguments and calls the engine. No call waits: an operation that may take time is started, and a file
//! descriptor becomes readable when it has a result. Python does the waiting, where gevent can replace it, and knows
//! Flask. `tidecast/_native.pyi` documents the objects.

// In the order in which a call meets them.
mod engine;
mod publisher;

mod decoder;
mod fork_local;
mod notify;
mod peer_socket;
mod shutdown;
mod stream_reader;

mod error;

use pyo3::prelude::*;

/// The engine of the package `tidecast`.
// The reasoning about locks at a fork relies on the interpreter's lock, so free-threaded builds must enable it.
#[pymodule(gil_used = true)]
mod _native {
    #[pymodule_export]
    use crate::{
        decoder::{Decoder, check_channels},
        engine::Engine,
        engine::engine_stream::{EngineStream, commits_at_empty_line},
        engine::publish::{PendingPublish, Published},
        notify::selector::Selector,
        peer_socket::{hang_up, peer_has_closed, unsent_bytes},
        publisher::Publisher,
        publisher::feed::Feed,
        publisher::pending_send::PendingSend,
        shutdown::{end_streams, end_streams_on_signal, streams_are_ending},
    };
}
