//! What this repository promises about itself, checked by reading it: with the other tests, so it needs no door of its own.
//!
//! `files` looks at texts, `links` at the links between pages, `dependencies` at who may import whom. A test collects all
//! it finds before it fails.

mod dependencies;
mod files;
mod links;

use std::fs;

use crate::workspace::files;

/// The texts among the files of which `wanted` says so by their path.
fn texts(wanted: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let files = files().into_iter().filter(|(name, _)| wanted(name));
    files.filter_map(|(name, path)| Some((name, fs::read_to_string(path).ok()?))).collect()
}

/// The manifests of this workspace's packages; `bench` and `fuzz` are workspaces of their own.
fn manifests() -> Vec<(String, String)> {
    let mut manifests = texts(|name| name.ends_with("/Cargo.toml"));
    manifests.retain(|(_, text)| !text.lines().any(|line| line == "[workspace]"));
    manifests
}

/// The lines of a manifest with the name of the section each stands in.
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

/// Fails with everything that was found, one to a line.
#[track_caller]
fn none_of(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}
