//! Any bytes as a query or a form: `cargo xtask fuzz --target query`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidecast_server::fuzzing::query(bytes));
