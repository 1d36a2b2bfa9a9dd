//! A publish request with any content type, query, key and body: `cargo xtask fuzz --target publish`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidecast_server::fuzzing::publish(bytes, tidecast_test::fuzz::arrives));
