//! Any bytes as a `Last-Event-ID`: `cargo xtask fuzz --target resume`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidecast_test::fuzz::resume(bytes));
