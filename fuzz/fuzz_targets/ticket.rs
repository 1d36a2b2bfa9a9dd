//! Any bytes as a ticket, and as the header and claims of a signed one: `cargo xtask fuzz --target ticket`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidecast_server::fuzzing::ticket(bytes));
