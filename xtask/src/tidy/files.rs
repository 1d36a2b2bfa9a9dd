//! Checks of texts: forbidden words, the beginning and length of source files, and the changelog.

use super::{manifests, none_of, sections, texts};
use crate::{prose::breaches, workspace::root};

/// Words that reveal the machine on which a file was written, or refer to a registry that a reader may not use. They
/// are split so that this file passes.
const FORBIDDEN: [&str; 8] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/tm", "p/s/"),
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("python", "hosted.org"),
    concat!("npm", "js.org"),
    concat!("npm", "js.com"),
];

/// The limit of a source file's lines without the tests at its end.
const LINES_MAX: usize = 450;

#[test]
fn every_sentence_follows_the_rules_of_prose() {
    let texts = texts(|_| true);
    none_of(&texts.iter().flat_map(|(name, text)| breaches(name, text)).collect::<Vec<_>>());
}

#[test]
fn no_file_names_a_machine_or_a_registry() {
    let mut problems = Vec::new();
    // Lock files have to name the registry.
    for (name, text) in texts(|name| !name.ends_with(".lock") && !name.ends_with("package-lock.json")) {
        for (number, line) in text.lines().enumerate() {
            for word in FORBIDDEN.iter().filter(|word| line.contains(**word)) {
                problems.push(format!("{name}:{}: says {word}", number + 1));
            }
        }
    }
    none_of(&problems);
}

#[test]
fn every_rust_file_begins_with_its_purpose() {
    let silent = texts(|name| name.ends_with(".rs"))
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!") && !text.starts_with("#![doc"))
        .map(|(name, _)| format!("{name}: does not begin with `//!`"));
    none_of(&silent.collect::<Vec<_>>());
}

/// Pages told readers to run `tidecast serve` without saying how to install it.
#[test]
fn pages_that_run_the_program_first_say_how_to_install_it() {
    const INSTALL: &str = "cargo install --locked --path crates/tidecast-server";
    const COMMANDS: [&str; 7] = ["bench", "check-config", "print-config", "publish", "serve", "tail", "ticket"];
    let runs_it = |text: &str| {
        let after = text.match_indices("tidecast ").filter(|(at, _)| {
            // In code, not in a sentence: at the start of a line, or after a prompt, a variable or a quote.
            text[..*at].ends_with(['`', ' ', '\n'])
        });
        let mut commands = after.map(|(at, name)| text[at + name.len()..].split([' ', '`', '\n']).next().unwrap_or(""));
        commands.any(|command| COMMANDS.contains(&command))
    };
    let pages = texts(|name| name.ends_with(".md") && !["CHANGELOG.md", "ARCHITECTURE.md"].contains(&name));
    let silent = pages.into_iter().filter(|(_, text)| runs_it(text.split(INSTALL).next().unwrap_or("")));
    none_of(&silent.map(|(name, _)| format!("{name}: runs `tidecast` before it says `{INSTALL}`")).collect::<Vec<_>>());
}

#[test]
fn no_source_file_is_too_long() {
    let long = texts(|name| {
        let source = [".rs", ".js", ".mjs", ".py", ".lua", ".css", ".html"].iter().any(|end| name.ends_with(end));
        source && !name.split('/').any(|part| part == "tests" || part == "tests.rs" || part == "conformance.rs")
    })
    .into_iter()
    .map(|(name, text)| (name, lines_before_tests(&text)))
    .filter(|(_, lines)| *lines > LINES_MAX)
    .map(|(name, lines)| format!("{name}: {lines} lines, of at most {LINES_MAX}"));
    none_of(&long.collect::<Vec<_>>());
}

/// Returns the number of lines before the module with the tests.
fn lines_before_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|pair| {
        pair[0].starts_with("#[cfg(")
            && pair[0].contains("test")
            && pair[1].starts_with("mod ")
            && pair[1].ends_with('{')
    });
    tests.unwrap_or(lines.len())
}

#[test]
fn the_changelog_has_every_version() {
    let changelog = std::fs::read_to_string(root().join("CHANGELOG.md")).unwrap_or_default();
    let workspace = std::fs::read_to_string(root().join("Cargo.toml")).expect("a manifest in the root");
    let common = value(&workspace, "workspace.package", "version").expect("a version of the workspace");
    let mut problems = Vec::new();
    for (name, manifest) in manifests() {
        if value(&manifest, "package", "publish") == Some("false") {
            continue;
        }
        let version = value(&manifest, "package", "version").unwrap_or(common);
        if !changelog.contains(version) {
            problems.push(format!("{name}: CHANGELOG.md says nothing of {version}"));
        }
    }
    let package = std::fs::read_to_string(root().join("js/package.json")).expect("the package of the module");
    if !package.contains(&format!("\"version\": \"{common}\"")) {
        problems.push(format!("js/package.json: its version is not {common}"));
    }
    none_of(&problems);
}

#[test]
fn the_index_of_decisions_has_every_record() {
    const FOLDER: &str = "docs/decisions/";
    let index = std::fs::read_to_string(root().join(FOLDER).join("README.md")).expect("an index");
    let records = texts(|name| name.starts_with(FOLDER) && !name.ends_with("README.md"));
    let row = |name: &str, text: &str| {
        let file = name.strip_prefix(FOLDER)?;
        let (number, title) = text.lines().next()?.strip_prefix("# ")?.split_once(". ")?;
        file.starts_with(number).then(|| format!("| [{number}]({file}) | {title} |"))
    };
    let missing = records.into_iter().filter_map(|(name, text)| match row(&name, &text) {
        Some(row) if index.lines().any(|line| line == row) => None,
        Some(row) => Some(format!("{name}: {FOLDER}README.md has no row {row}")),
        None => Some(format!("{name}: does not begin with `# NNNN. TITLE`")),
    });
    none_of(&missing.collect::<Vec<_>>());
}

/// Returns the value of a plain `key = value` line without its quotes.
fn value<'a>(manifest: &'a str, section: &str, key: &str) -> Option<&'a str> {
    sections(manifest)
        .filter(|(name, _)| *name == section)
        .filter_map(|(_, line)| line.split_once('='))
        .find(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim().trim_matches('"'))
}

#[test]
fn tests_at_the_end_do_not_count() {
    assert_eq!(lines_before_tests("//! A.\nfn a() {}\n#[cfg(test)]\nmod tests {\n}\n"), 2);
    assert_eq!(lines_before_tests("//! A.\n#[cfg(test)]\nmod tidy;\nfn a() {}\n"), 4);
}
