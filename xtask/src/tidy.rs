//! Checks of the repository's own files, which run with the other tests.
//!
//! `files` checks texts, `links` the links between pages, and `dependencies` the direction of dependencies. A test
//! collects all that it finds before it fails.

mod dependencies;
mod files;
mod links;

use std::fs;

use crate::workspace::files;

/// Returns the paths and texts of the files whose path is `wanted`.
fn texts(wanted: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let files = files().into_iter().filter(|(name, _)| wanted(name));
    files.filter_map(|(name, path)| Some((name, fs::read_to_string(path).ok()?))).collect()
}

/// Returns the manifests of this workspace's packages. `bench` and `fuzz` are separate workspaces.
fn manifests() -> Vec<(String, String)> {
    let mut manifests = texts(|name| name.ends_with("/Cargo.toml"));
    manifests.retain(|(_, text)| !text.lines().any(|line| line == "[workspace]"));
    manifests
}

/// Returns the lines of a manifest, each with the name of its section.
fn sections(manifest: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut section = "";
    manifest.lines().filter_map(move |line| {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
            return None;
        }
        Some((section, line))
    })
}

/// Fails with all problems, one a line.
#[track_caller]
fn none_of(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}
