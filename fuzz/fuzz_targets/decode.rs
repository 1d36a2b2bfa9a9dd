//! Any bytes as an event stream: `cargo xtask fuzz --target decode`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidecast_test::fuzz::decode(bytes));
