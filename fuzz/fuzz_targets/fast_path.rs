//! Any requests, which the fast path and the HTTP server answer alike: `cargo xtask fuzz --target fast_path`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidecast_server::fuzzing::fast_path(bytes));
