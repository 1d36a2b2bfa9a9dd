//! `cargo xtask api`: compares the public items of the libraries with their lists in `docs/api`, so that a change of
//! the public interface is seen in review.

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use anyhow::{Context, Result, bail};
use public_api::Builder;
use serde_json::Value;

use crate::{report::Outcome, workspace::Workspace};

/// The arguments of `cargo xtask api`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Accept the present items: write the lists
    #[arg(long)]
    write: bool,
}

/// The libraries with a stable interface.
const CRATES: [&str; 4] = ["tidecast", "tidecast-axum", "tidecast-redis", "tidecast-serve"];

const FOLDER: &str = "docs/api";

/// The version of rustdoc's JSON that `public-api` reads. Both change with the compiler.
const FORMAT: u64 = 57;

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<Outcome> {
    if !cfg!(unix) {
        return Ok(Outcome::Skipped("it needs a Unix shell".to_owned()));
    }
    let rustdoc = nightly_rustdoc(workspace)?;
    let mut differences = String::new();
    for name in CRATES {
        let json = workspace.target.join("doc").join(format!("{}.json", name.replace('-', "_")));
        let document =
            workspace.cargo(["rustdoc", "--quiet", "--lib", "--all-features", "--locked", "--package", name]);
        let document = document.args(["--", "-Z", "unstable-options", "--output-format", "json"]);
        document.env("RUSTDOC", &rustdoc).run()?;
        let text = fs::read_to_string(&json).with_context(|| format!("failed to read {}", json.display()))?;
        let format = serde_json::from_str::<Value>(&text)?["format_version"].as_u64();
        if format != Some(FORMAT) {
            let format = format.map_or("an unknown one".to_owned(), |format| format.to_string());
            return Ok(Outcome::Skipped(format!("rustdoc writes the format {format}, and {FORMAT} is read here")));
        }
        // Blanket and auto-trait implementations are the same for nearly every type.
        let items = Builder::from_rustdoc_json(&json).omit_blanket_impls(true).omit_auto_trait_impls(true).build()?;
        let items: Vec<String> = items.items().map(|item| format!("{item}\n")).collect();
        let list = workspace.root.join(FOLDER).join(format!("{name}.txt"));
        if args.write {
            fs::create_dir_all(workspace.root.join(FOLDER))?;
            fs::write(list, items.concat())?;
        } else {
            let kept = fs::read_to_string(&list).with_context(|| format!("failed to read {}", list.display()))?;
            differences += &difference(&kept, &items.concat());
        }
    }
    if !differences.is_empty() {
        bail!("the public items have changed; `cargo xtask api --write` accepts it:\n{differences}");
    }
    Ok(Outcome::Passed)
}

/// Returns the lines that only one of two lists has.
fn difference(kept: &str, present: &str) -> String {
    let (kept, present): (BTreeSet<&str>, BTreeSet<&str>) = (kept.lines().collect(), present.lines().collect());
    let removed = kept.difference(&present).map(|line| format!("- {line}\n"));
    let added = present.difference(&kept).map(|line| format!("+ {line}\n"));
    removed.chain(added).collect()
}

/// Writes a program that runs rustdoc with its unstable options. If cargo had the variable, build scripts would take
/// the compiler for a nightly one, and every crate would be built again.
fn nightly_rustdoc(workspace: &Workspace) -> Result<PathBuf> {
    let program = workspace.tools().join("nightly-rustdoc");
    let rustdoc = env::var("RUSTDOC").unwrap_or_else(|_| "rustdoc".to_owned());
    fs::create_dir_all(workspace.tools())?;
    fs::write(&program, format!("#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec \"{rustdoc}\" \"$@\"\n"))?;
    #[cfg(unix)]
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_added_and_removed_items() {
        assert_eq!(difference("pub fn a::b()\n", "pub fn a::b()\n"), "");
        assert_eq!(
            difference("pub fn a::b()\npub mod a\n", "pub mod a\npub fn a::c()\n"),
            "- pub fn a::b()\n+ pub fn a::c()\n"
        );
    }
}
