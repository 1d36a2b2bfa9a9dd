//! The seeds and findings of the fuzz targets, run through the same checks without a fuzzer.

#[path = "../../../../fuzz/checks.rs"]
mod checks;

#[test]
fn streams() {
    checks::replay("decode", checks::decode);
}

#[test]
fn ids() {
    checks::replay("resume", checks::resume);
}
