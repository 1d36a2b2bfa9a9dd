//! Any requests past the HTTP server and through it, which answer the same: `cargo xtask fuzz --target fast_path`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidecast_server::fuzzing::fast_path(bytes));
