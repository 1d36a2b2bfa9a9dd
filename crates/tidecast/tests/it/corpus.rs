//! The seeds of the fuzz targets, and whatever they found, through the same checks: without a fuzzer, at every test.

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
