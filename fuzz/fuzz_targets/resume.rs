//! Any bytes as a `Last-Event-ID`: `cargo xtask fuzz --target resume`.

#![no_main]

#[path = "../checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::resume(bytes));
