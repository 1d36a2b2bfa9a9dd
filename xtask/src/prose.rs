//! `cargo xtask prose`: finds sentences that break the rules of prose in CONTRIBUTING.md, as far as a program can.
//!
//! The check reads comments, Python's docstrings, string literals of Rust outside of tests, and Markdown. `passages`
//! takes them out of a file; this file judges them. `tidy` runs the same check over the whole repository.

mod passages;

use std::{fs, path::PathBuf};

use anyhow::{Result, bail};

use self::passages::{Kind, Passage, passages};
use crate::workspace::{Workspace, files};

/// The arguments of `cargo xtask prose`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files or folders to check; the whole repository if none is given
    paths: Vec<PathBuf>,
}

/// Words that open a sentence in which a relative clause stands for the actor.
const OPENERS: [&str; 6] = ["Who", "What", "Whoever", "Whatever", "Who's", "What's"];

/// Verbs that say less than "Returns whether".
const VAGUE_VERBS: [&str; 3] = ["Tells", "Says", "Answers"];

/// Phrases that read as translated, each with its remedy.
const PHRASES: [(&str, &str); 13] = [
    ("that is none", "say that it is invalid or missing"),
    ("which is none", "say that it is invalid or missing"),
    ("it is none", "say that it is invalid or missing"),
    ("is none of", "name what it is"),
    ("that is one", "say that it is valid or present"),
    ("has it that", "write \"says\" or state the fact"),
    ("says nothing to", "write \"is unrelated to\" or name the effect"),
    ("say nothing to", "write \"are unrelated to\" or name the effect"),
    ("of one's own", "name the owner"),
    ("there it is", "state the fact"),
    ("nobody hurts", "name what is isolated"),
    ("as it were", "leave it out"),
    ("has need of", "write \"needs\""),
];

/// Words that may follow "at most".
const NUMBERS: [&str; 17] = [
    "a", "an", "half", "once", "twice", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "as", "the",
];

/// Checks the files and folders that are named, or all.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let below = |path: &PathBuf| workspace.root.join(path);
    let wanted: Vec<PathBuf> = args.paths.iter().map(below).collect();
    let mut found = Vec::new();
    for (name, path) in files() {
        if wanted.is_empty() || wanted.iter().any(|wanted| path.starts_with(wanted)) {
            found.extend(fs::read_to_string(&path).into_iter().flat_map(|text| breaches(&name, &text)));
        }
    }
    found.iter().for_each(|breach| println!("{breach}"));
    if !found.is_empty() {
        bail!("{} sentences break the rules of prose", found.len());
    }
    Ok(())
}

/// Returns the breaches in a file, each as `file:line: what is wrong; what to do`.
pub(crate) fn breaches(name: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for passage in passages(name, text) {
        found.extend(judge(&passage).into_iter().map(|fault| format!("{name}:{}: {fault}", passage.line)));
    }
    found
}

fn judge(passage: &Passage) -> Vec<String> {
    let mut faults = Vec::new();
    if passage.kind == Kind::FunctionDoc {
        faults.extend(opening_verb(&passage.text));
    }
    for sentence in sentences(&passage.text) {
        let first = sentence.split_whitespace().next().unwrap_or("").trim_end_matches(',');
        if OPENERS.contains(&first) && !sentence.trim_end().ends_with('?') {
            faults.push(format!(
                "a sentence opens with \"{first}\"; begin with the actor (the client, the broker, the log)"
            ));
        }
        for (phrase, remedy) in PHRASES {
            if contains_words(&sentence, phrase) {
                faults.push(format!("\"{phrase}\": {remedy}"));
            }
        }
        if has_vague_most(&sentence.to_lowercase()) {
            faults.push("\"at most\" without a number; give the number or the name of the limit".to_owned());
        }
    }
    faults
}

/// Returns the fault of a function's doc comment that does not begin with a verb in the third person.
fn opening_verb(text: &str) -> Option<String> {
    let mut words = text.split_whitespace();
    let (first, second) = (words.next()?, words.next().unwrap_or(""));
    let is_verb = first.ends_with('s') && first.chars().all(char::is_alphabetic);
    if !is_verb {
        return Some(format!(
            "a function's doc comment begins with \"{first}\"; begin with a verb: Returns, Creates, Parses"
        ));
    }
    let vague = VAGUE_VERBS.contains(&first) && ["whether", "if", "how", "what", "who", "when"].contains(&second);
    vague.then(|| format!("\"{first} {second}\"; write \"Returns {second}\""))
}

/// Splits a passage at its paragraphs and at the ends of its sentences.
fn sentences(text: &str) -> Vec<String> {
    let mut sentences = Vec::new();
    for paragraph in text.split("\n\n") {
        let mut sentence = String::new();
        for word in paragraph.split_whitespace() {
            sentence.push_str(word);
            sentence.push(' ');
            if word.trim_end_matches(['"', ')', '*', '_']).ends_with(['.', '?', '!']) {
                sentences.push(std::mem::take(&mut sentence));
            }
        }
        sentences.push(sentence);
    }
    sentences
}

fn contains_words(text: &str, phrase: &str) -> bool {
    let is_letter = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
    text.match_indices(phrase).any(|(at, _)| {
        !is_letter(text[..at].chars().next_back()) && !is_letter(text[at + phrase.len()..].chars().next())
    })
}

/// Returns whether "at most" stands before something that is no number.
fn has_vague_most(text: &str) -> bool {
    text.match_indices("at most ").any(|(at, most)| {
        let next = text[at + most.len()..].split_whitespace().next().unwrap_or("");
        !next.contains(|letter: char| letter.is_ascii_digit() || "`{%$[<".contains(letter)) && !NUMBERS.contains(&next)
    })
}

#[cfg(test)]
mod tests {
    use super::breaches;

    #[test]
    fn each_rule_finds_its_breach_and_names_the_line() {
        let source = "//! A file.\n\n/// Tells whether it is open.\nfn a() {}\n/// The bearer.\n#[inline]\npub(crate) const fn b() {}\n\
                      \x2f/ Who comes back misses nothing. It has it that all is well.\nfn c() {}\n";
        let found = breaches("a.rs", source);
        let lines: Vec<_> = found.iter().map(|breach| breach.split(": ").next().unwrap()).collect();
        assert_eq!(lines, ["a.rs:3", "a.rs:5", "a.rs:8", "a.rs:8"], "{found:?}");
    }

    #[test]
    fn what_is_right_passes() {
        let source = "//! A file.\n\n/// Returns what a client sent, at most 3 bytes, at most `LIMIT`. What is open? This.\nfn a() {}\n\
                      /// The fault: a page stayed open.\n#[test]\nfn b() {}\n/// A type that is None.\nstruct C;\n\
                      // let s = \"Who is it\";\nconst D: &str = \"a sentence. `Who` is a name\";\n";
        assert_eq!(breaches("a.rs", source), Vec::<String>::new());
    }

    #[test]
    fn texts_of_programs_and_pages_are_read() {
        let quoted = "//! A file.\nconst A: &str = \"a last that is none\";\n";
        assert_eq!(breaches("a.rs", quoted).len(), 1);
        assert_eq!(breaches("crates/a/tests/it/a.rs", quoted).len(), 0);
        let page = "# What it is\n\nA page.\n\n- Who reads it is told\n  more.\n\n| a | What is there |\n|---|---|\n\n```sh\n# Who am I\n```\n";
        assert_eq!(breaches("a.md", page).len(), 2);
        let module = "\"\"\"A module.\"\"\"\n\n\ndef a(\n    b: int,\n) -> int:\n    \"\"\"The number.\"\"\"\n    # Whoever calls is told.\n";
        assert_eq!(breaches("a.py", module).len(), 2);
        assert_eq!(breaches("a.lua", "-- A script.\n-- Whatever is there is taken.\n").len(), 1);
    }
}
