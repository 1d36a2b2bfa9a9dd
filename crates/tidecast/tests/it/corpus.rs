//! The seeds of the fuzz targets, and whatever they found, through the same checks: without a fuzzer, at every test.

use std::{fs, path::Path};

#[path = "../../../../fuzz/checks.rs"]
mod checks;

/// Runs a check on every file of a target's corpus.
fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is there") {
        let path = entry.expect("it can be listed").path();
        let bytes = fs::read(&path).expect("it can be read");
        if let Err(panic) = std::panic::catch_unwind(|| check(&bytes)) {
            eprintln!("with {}", path.display());
            std::panic::resume_unwind(panic);
        }
        files += 1;
    }
    assert!(files >= 10, "only {files} in {}", folder.display());
}

#[test]
fn streams() {
    replay("decode", checks::decode);
}

#[test]
fn ids() {
    replay("resume", checks::resume);
}
