//! Checks that what Markdown pages refer to exists: linked files and headings, the files of the code map, tests.

use std::{collections::HashMap, path::Path};

use super::{none_of, texts};
use crate::workspace::root;

/// A page linked to `concepts.md#the-log` when the heading was `## Log`.
#[test]
fn links_between_pages_lead_to_a_file_and_a_heading() {
    let pages = texts(|name| name.ends_with(".md"));
    let of_page = |(name, text): &(String, String)| Some((root().join(name).canonicalize().ok()?, anchors(text)));
    let anchors: HashMap<_, _> = pages.iter().filter_map(of_page).collect();
    let mut problems = Vec::new();
    for (name, text) in &pages {
        let page = root().join(name);
        for link in links(text) {
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { page.clone() } else { page.parent().unwrap_or(Path::new("")).join(path) };
            let Ok(target) = target.canonicalize() else {
                problems.push(format!("{name}: {link} leads to no file"));
                continue;
            };
            let missing = anchors.get(&target).is_some_and(|known| !known.iter().any(|known| known == anchor));
            if !anchor.is_empty() && missing {
                problems.push(format!("{name}: {link} leads to no heading"));
            }
        }
    }
    none_of(&problems);
}

/// The map of ARCHITECTURE.md led to files whose folder had been renamed.
#[test]
fn the_map_of_the_code_names_files_that_exist() {
    let map = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the map");
    let is_path = |name: &str| (name.contains('/') || name.ends_with(".rs")) && !name.contains(' ');
    let mut base = "";
    let mut problems = Vec::new();
    for row in map.lines().filter(|line| line.starts_with('|')) {
        let paths = row.split('`').skip(1).step_by(2).filter(|name| is_path(name));
        for path in paths {
            // A row in bold names a folder, and the rows after it what is in there.
            let is_base = row.starts_with("| **") && root().join(path).is_dir();
            if is_base {
                base = path;
            } else if !root().join(path).exists() && !root().join(base).join(path).exists() {
                problems.push(format!("ARCHITECTURE.md: {path} is neither in the root nor in {base}"));
            }
        }
    }
    none_of(&problems);
}

/// Tests were renamed, and the page on limits went on to name the old ones.
#[test]
fn the_page_on_limits_names_tests_that_exist() {
    let page = std::fs::read_to_string(root().join("docs/limits.md")).expect("the page on limits");
    let sources = texts(|name| name.ends_with(".rs"));
    let tests = page.split('`').skip(1).step_by(2).filter_map(|code| Some((code, code.rsplit_once("::")?.1)));
    let missing = tests.filter(|(_, name)| !sources.iter().any(|(_, text)| text.contains(&format!("fn {name}("))));
    none_of(&missing.map(|(test, _)| format!("docs/limits.md: there is no test {test}")).collect::<Vec<_>>());
}

/// Returns the lines outside of blocks of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

/// Returns the targets of inline links, except for other sites and items that rustdoc resolves by name.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text).collect::<Vec<_>>().join("\n");
    // Text between backticks is code.
    let without_code: String = prose.split('`').step_by(2).collect();
    let targets = without_code.split("](").skip(1).filter_map(|rest| rest.split([')', ' ', '\n']).next());
    let own = targets.filter(|target| !target.contains(':') && target.contains(['.', '/', '#']));
    own.map(str::to_owned).collect()
}

/// Returns the anchors of a page's headings, as GitHub makes them.
fn anchors(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    for heading in prose(text).filter(|line| line.starts_with('#')) {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|letter| letter.is_alphanumeric() || ['-', '_', ' '].contains(letter));
        let anchor: String = kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect();
        let repeated = (1..).map(|number| format!("{anchor}-{number}"));
        let free = std::iter::once(anchor.clone()).chain(repeated).find(|name| !anchors.contains(name));
        anchors.extend(free);
    }
    anchors
}

#[test]
fn anchors_and_links_are_found_outside_of_code() {
    let text = "# The `GET /a/{name}`\n## Log\n## Log\n```\n# no\n[x](no.md)\n```\n[`a`](b.md#log) [c](https://d.e) `[f](g.md)` [H](H)\n";
    assert_eq!(anchors(text), ["the-get-aname", "log", "log-1"]);
    assert_eq!(links(text), ["b.md#log"]);
}
