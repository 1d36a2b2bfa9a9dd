//! Any bytes as a payload on Redis: `cargo xtask fuzz --target codec`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidecast_redis::fuzz_codec(bytes));
