//! `cargo xtask test`: every check that a change must pass, the fastest first.

use std::{
    env, iter,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use xshell::cmd;

use crate::{
    api, bench, callgrind, clients,
    environment::PACKAGE,
    minimal_versions, packages, python,
    report::{Outcome, Report, passed},
    setup, tools,
    workspace::{BROWSER_TESTS, MINUTES_MAX, Workspace, on_path},
};

/// The arguments of `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run formatting, lints and tests only
    #[arg(long)]
    quick: bool,
    /// Run the other steps after one has failed
    #[arg(long)]
    keep_going: bool,
    /// Also build with the oldest versions that the manifests allow
    #[arg(long)]
    minimal_versions: bool,
    /// Also run the tests over sockets with many times the traffic
    #[arg(long)]
    soak: bool,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let mut report = Report::new(args.keep_going);
    let full = !args.quick;
    if full {
        report.step("setup", || setup::run(workspace).map(|()| Outcome::Passed));
    }
    report.step("fmt", || passed(&workspace.cargo(["fmt", "--all", "--check"])));
    if full {
        report.step("typos", || typos(workspace));
        report.step("deny", || deny(workspace));
        report.step("advisories", || advisories(workspace));
    }
    report.step("clippy", || {
        let clippy = workspace.cargo(["clippy", "--workspace", "--all-targets", "--all-features", "--locked"]);
        passed(&clippy.args(["--", "-D", "warnings"]))
    });
    // With every target, so that later steps use these builds and this hub.
    report.step("build", || {
        passed(&workspace.cargo(["build", "--workspace", "--all-targets", "--all-features", "--locked"]))
    });
    report.step("test", || {
        passed(
            &workspace
                .cargo_within(MINUTES_MAX, ["test", "--workspace", "--all-features", "--locked", "--no-fail-fast"]),
        )
    });
    if full {
        report.step("features", || features(workspace));
        report.step("doc", || doc(workspace));
        report.step("api", || api::run(workspace, &api::Args::default()));
        report.step("package", || package(workspace));
        report.step("model", || model(workspace));
        // Before the browser tests, some of which use a program on the installed package.
        report.step("python", || python::run(workspace));
        report.step("browser", || browser(workspace));
        report.step("clients", || clients::run(workspace, false));
        report.step("bench build", || own_workspace(workspace, "bench"));
        report.step("bench test", || bench_test(workspace));
        report.step("callgrind", || callgrind::run(workspace, &callgrind::Args::default()));
        report.step("fuzz build", || fuzz_build(workspace));
    }
    if args.minimal_versions {
        report.step("minimal", || minimal_versions::run(workspace));
    }
    if args.soak {
        report.step("soak", || {
            let test = workspace.cargo(["test", "--package", "tidecast-server", "--locked", "--release"]);
            passed(&test.env("TIDECAST_SOAK", "1"))
        });
    }
    report.finish()
}

fn typos(workspace: &Workspace) -> Result<Outcome> {
    let typos = tools::typos(workspace).context("no typos: run `cargo xtask setup`")?;
    passed(&cmd!(workspace.shell, "{typos}"))
}

/// Checks licences, banned crates and sources.
fn deny(workspace: &Workspace) -> Result<Outcome> {
    let deny = tools::cargo_deny(workspace).context("no cargo-deny: run `cargo xtask setup`")?;
    passed(&cmd!(workspace.shell, "{deny} --locked check bans licenses sources"))
}

/// Checks each lock file against the database of advisories, if this machine has one. It is never downloaded here, as
/// its content changes without a change of the project.
fn advisories(workspace: &Workspace) -> Result<Outcome> {
    let cargo_home =
        env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    if !cargo_home.is_some_and(|home| home.join("advisory-dbs").is_dir()) {
        return Ok(Outcome::Skipped(
            "advisories not checked: no database here; `cargo deny fetch` downloads it".to_owned(),
        ));
    }
    let deny = tools::cargo_deny(workspace).context("no cargo-deny: run `cargo xtask setup`")?;
    for manifest in ["Cargo.toml", "bench/Cargo.toml", "fuzz/Cargo.toml"] {
        // Offline, so that the database is not downloaded. The crates of other systems must then be present.
        workspace.cargo(["fetch", "--quiet", "--locked", "--manifest-path", manifest]).run()?;
        cmd!(workspace.shell, "{deny} --frozen --manifest-path {manifest} check advisories").run()?;
    }
    Ok(Outcome::Passed)
}

/// Checks each published package by itself, without features and with each of them alone. In a build of the whole
/// workspace, a feature that one package enables is enabled for all, which hides that another forgot it.
fn features(workspace: &Workspace) -> Result<Outcome> {
    for package in &workspace.packages {
        for feature in iter::once(None).chain(package.features.iter().map(Some)) {
            let clippy = workspace.cargo(["clippy", "--no-default-features", "--locked", "--package", &package.name]);
            let clippy = clippy.args(feature.into_iter().flat_map(|feature| ["--features", feature]));
            clippy.args(["--", "-D", "warnings"]).run()?;
        }
    }
    Ok(Outcome::Passed)
}

/// Builds the documentation with and without features. A link into a module that a feature enables was broken for users
/// without that feature.
fn doc(workspace: &Workspace) -> Result<Outcome> {
    for features in ["--no-default-features", "--all-features"] {
        let doc = workspace.cargo(["doc", "--workspace", "--no-deps", features, "--locked"]);
        doc.env("RUSTDOCFLAGS", "-D warnings").run()?;
    }
    Ok(Outcome::Passed)
}

/// Packages each crate without building it.
fn package(workspace: &Workspace) -> Result<Outcome> {
    let package = workspace.cargo(["package", "--no-verify", "--allow-dirty", "--locked", "--quiet"]);
    passed(&package.args(workspace.packages.iter().flat_map(|package| ["--package", &package.name])))
}

/// Runs the loom models, which try every order of their threads.
fn model(workspace: &Workspace) -> Result<Outcome> {
    let flags = format!("{} --cfg tidecast_loom", env::var("RUSTFLAGS").unwrap_or_default());
    // A separate target folder, as the flags change every crate and the builds would replace each other.
    let target = workspace.target.join("loom");
    let test = || {
        let args = ["test", "--package", "tidecast", "--lib", "--release", "--locked"];
        let test = workspace.cargo_within(MINUTES_MAX, args);
        let test = test.env("RUSTFLAGS", flags.trim_start()).env("CARGO_PROFILE_RELEASE_LTO", "off");
        test.arg("--target-dir").arg(&target).arg("model")
    };
    // A run that finds no test would pass too.
    ensure!(test().args(["--", "--list"]).read()?.contains(": test"), "no test has `model` in its name");
    passed(&test())
}

/// Runs the browser tests against the hub that was built before.
fn browser(workspace: &Workspace) -> Result<Outcome> {
    if !workspace.has(BROWSER_TESTS) {
        return Ok(Outcome::Skipped(format!("no {BROWSER_TESTS}")));
    }
    let hub = workspace.hub("debug");
    ensure!(hub.exists(), "no hub at {}", hub.display());
    let chromium = on_path(&packages::CHROMIUM).context("no Chromium: run `cargo xtask setup`")?;
    let firefox = on_path(&packages::FIREFOX).context("no Firefox: run `cargo xtask setup`")?;
    let _there = workspace.shell.push_dir(workspace.root.join(BROWSER_TESTS));
    let python = PACKAGE.program(workspace, "python");
    let node = workspace.within(MINUTES_MAX, Path::new("node")).arg("--test");
    let node = node.env("TIDECAST_BIN", hub).env("TIDECAST_PYTHON", python);
    passed(&node.env("CHROMIUM", chromium).env("FIREFOX", firefox))
}

/// Runs the tests of the load generator, and a short run with the hub that was built before.
fn bench_test(workspace: &Workspace) -> Result<Outcome> {
    let test = workspace.cargo_within(MINUTES_MAX, ["test", "--locked", "--manifest-path", "bench/Cargo.toml"]);
    test.arg("--target-dir").arg(&workspace.target).run()?;
    passed(&bench::smoke(workspace)?)
}

/// Builds the fuzz targets, on any toolchain: only running them needs a nightly one.
fn fuzz_build(workspace: &Workspace) -> Result<Outcome> {
    if workspace.has("fuzz") && on_path(&packages::CXX).is_none() {
        return Ok(Outcome::Skipped("libFuzzer needs a C++ compiler".to_owned()));
    }
    own_workspace(workspace, "fuzz")
}

/// Checks formatting and lints of a folder that is a separate workspace.
fn own_workspace(workspace: &Workspace, folder: &str) -> Result<Outcome> {
    let manifest = format!("{folder}/Cargo.toml");
    if !workspace.has(&manifest) {
        return Ok(Outcome::Skipped(format!("no {manifest}")));
    }
    workspace.cargo(["fmt", "--check", "--manifest-path", &manifest]).run()?;
    let mut clippy = workspace.cargo(["clippy", "--all-targets", "--manifest-path", &manifest]);
    if workspace.has(&format!("{folder}/Cargo.lock")) {
        clippy = clippy.arg("--locked");
    }
    passed(&clippy.arg("--target-dir").arg(&workspace.target).args(["--", "-D", "warnings"]))
}
