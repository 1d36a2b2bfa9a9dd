//! The direction of dependencies among the crates, as cargo resolves them, and the versions of other dependencies.

use std::{collections::BTreeSet, fs, process::Command};

use serde_json::Value;

use super::{manifests, none_of, sections};
use crate::workspace::{cargo_program, root};

/// Crates, each with the packages that it must not depend on, directly or indirectly. A name that ends in `*` stands for all
/// that begin with it.
const NEVER: [(&str, &[&str]); 4] = [
    ("tidecast", &["axum*", "http", "http-body*", "hyper*", "redis", "tokio*", "tower*", "tidecast-*"]),
    ("tidecast-axum", &["redis", "tidecast-redis", "tidecast-serve*"]),
    ("tidecast-redis", &["axum*", "hyper*", "tower*", "tidecast-axum", "tidecast-serve*"]),
    // Routes, settings and metrics belong to the program.
    ("tidecast-serve", &["clap*", "prometheus*", "redis", "tidecast-redis", "tidecast-server", "toml*"]),
];

#[test]
fn no_crate_depends_on_a_forbidden_one() {
    let mut problems = Vec::new();
    for (package, never) in NEVER.into_iter().filter(|(package, _)| exists(package)) {
        for dependency in tree(&["--package", package, "--edges", "normal"]).into_iter().filter(|name| name != package)
        {
            let banned = never.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(start) => dependency.starts_with(start),
                None => dependency == *pattern,
            });
            if banned {
                problems.push(format!(
                    "{package} depends on {dependency}: `cargo tree -p {package} -i {dependency}` shows how"
                ));
            }
        }
    }
    none_of(&problems);
}

#[test]
fn nothing_depends_on_the_server_and_only_tests_on_their_support() {
    for (package, edges) in [("tidecast-server", "normal,build,dev"), ("tidecast-test", "normal,build")] {
        let dependents = tree(&["--workspace", "--invert", package, "--edges", edges]);
        assert_eq!(dependents, BTreeSet::from([package.to_owned()]));
    }
}

#[test]
fn every_dependency_of_the_workspace_is_used() {
    let workspace = fs::read_to_string(root().join("Cargo.toml")).expect("a manifest in the root");
    let used: BTreeSet<String> =
        manifests().iter().flat_map(|(_, text)| dependencies(text)).map(|(key, _)| key).collect();
    let unused = dependencies(&workspace).into_iter().filter(|(key, _)| !used.contains(key));
    none_of(&unused.map(|(key, _)| format!("Cargo.toml: no package uses {key}")).collect::<Vec<_>>());
}

/// Each direct dependency has one version, which stands in one place.
#[test]
fn every_dependency_is_taken_from_the_workspace() {
    let mut problems = Vec::new();
    for (name, text) in manifests() {
        for (key, value) in dependencies(&text) {
            if !value.contains("workspace = true") && !value.contains("path = \".\"") {
                problems.push(format!("{name}: {key} is not taken from the workspace"));
            }
        }
    }
    none_of(&problems);
}

/// A dependency that needs a newer Rust would break the build on the stated one. A dependency that needs a newer Rust than it
/// states is not found here.
#[test]
fn no_dependency_states_a_newer_rust_than_the_workspace() {
    let mut command = Command::new(cargo_program());
    let metadata =
        command.current_dir(root()).args(["metadata", "--locked", "--all-features", "--format-version", "1"]);
    let output = metadata.output().expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let own = packages.iter().find(|package| package["name"] == "tidecast").expect("the engine");
    let ours = version(own["rust_version"].as_str().expect("a rust-version of the workspace"));
    let stated = packages.iter().filter_map(|package| Some((package, package["rust_version"].as_str()?)));
    let newer = stated.filter(|(_, stated)| version(stated) > ours);
    none_of(&newer.map(|(package, stated)| format!("{} needs Rust {stated}", package["id"])).collect::<Vec<_>>());
}

/// Returns the parts of a version, with 0 for those that are left out.
fn version(text: &str) -> [u32; 3] {
    let mut parts = text.split('.').map(|part| part.parse().expect("a number"));
    [(); 3].map(|()| parts.next().unwrap_or(0))
}

fn exists(package: &str) -> bool {
    root().join("crates").join(package).join("Cargo.toml").exists()
}

/// Returns the keys of a manifest's dependencies with their values.
fn dependencies(manifest: &str) -> Vec<(String, String)> {
    let lines = sections(manifest).filter(|(section, _)| section.ends_with("dependencies"));
    let pairs = lines.filter_map(|(_, line)| line.split_once('=').map(|(key, value)| (key.trim(), value.trim())));
    let pairs = pairs.filter(|(key, _)| key.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)));
    pairs
        .map(|(key, value)| match key.strip_suffix(".workspace") {
            Some(key) => (key.to_owned(), format!("workspace = {value}")),
            None => (key.to_owned(), value.to_owned()),
        })
        .collect()
}

/// Returns the names of the packages in a `cargo tree` with all features.
fn tree(args: &[&str]) -> BTreeSet<String> {
    let mut command = Command::new(cargo_program());
    command.current_dir(root()).args(["tree", "--locked", "--all-features", "--prefix", "none", "--format", "{p}"]);
    let output = command.args(args).output().expect("cargo runs");
    assert!(output.status.success(), "cargo tree {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn a_dependency_is_read_in_either_form() {
    let manifest = "[package]\nname = \"a\"\n[dependencies]\nb.workspace = true\n[target.'cfg(unix)'.dev-dependencies]\n\
                    c = { workspace = true, features = [\"x\"] }\nd = \"1\"\n";
    let keys: Vec<String> = dependencies(manifest).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["b", "c", "d"]);
}
