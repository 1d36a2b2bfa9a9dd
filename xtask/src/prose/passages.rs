//! The passages of a file that are prose: comments, docstrings, texts of the program, Markdown.

/// A run of prose and where it begins.
#[derive(Debug, Clone)]
pub(super) struct Passage {
    pub(super) line: usize,
    pub(super) kind: Kind,
    pub(super) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The doc comment of a function that is no test.
    FunctionDoc,
    /// Any other prose.
    Text,
}

/// Returns the passages of a file, by the kind that its name tells. Code in them is replaced by one word.
pub(super) fn passages(name: &str, text: &str) -> Vec<Passage> {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let found = match extension {
        "rs" => [comments(text, &["///", "//!", "//"]), literals(name, text)].concat(),
        "js" | "mjs" | "go" | "java" => comments(text, &["//", "/**", "/*", "*/", "*"]),
        "lua" => comments(text, &["--"]),
        "py" | "pyi" => [comments(text, &["#"]), docstrings(name, text)].concat(),
        "toml" | "sh" | "yml" | "yaml" => comments(text, &["#"]),
        "md" => markdown(text),
        _ => Vec::new(),
    };
    let cleaned = found.into_iter().map(|passage| Passage { text: without_code(&passage.text), ..passage });
    cleaned.filter(|passage| passage.text.contains(' ')).collect()
}

/// Returns the comments, those on adjacent lines as one. A comment behind code on its line is one by itself.
fn comments(text: &str, markers: &[&str]) -> Vec<Passage> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found: Vec<Passage> = Vec::new();
    let mut open: Option<&str> = None;
    for (index, line) in lines.iter().enumerate() {
        let marker = markers.iter().copied().find(|marker| line.trim_start().starts_with(marker));
        if let Some(marker) = marker {
            let content = line.trim_start()[marker.len()..].trim();
            match found.last_mut().filter(|_| open == Some(marker)) {
                Some(last) => last.text = format!("{}\n{content}", last.text),
                None => found.push(Passage { line: index + 1, kind: Kind::Text, text: content.to_owned() }),
            }
        } else if open == Some("///") && documents_function(&lines[index..]) {
            found.last_mut().expect("a comment is open").kind = Kind::FunctionDoc;
        }
        open = marker;
    }
    found
}

/// Returns whether the item on these lines, behind its attributes, is a function and no test.
fn documents_function(lines: &[&str]) -> bool {
    const QUALIFIERS: [&str; 8] = ["pub", "const", "async", "unsafe", "default", "extern", "\"C\"", "in"];
    let mut in_attribute = false;
    for line in lines.iter().map(|line| line.trim()) {
        if in_attribute || line.starts_with("#[") {
            if line.contains("test") {
                return false;
            }
            in_attribute = !line.ends_with(']');
            continue;
        }
        let mut words = line.split([' ', '(', ')']).filter(|word| !word.is_empty());
        let item = words.find(|word| !QUALIFIERS.contains(word) && !["crate", "super"].contains(word));
        return item == Some("fn");
    }
    false
}

/// Returns the string literals of a Rust file, but for its tests: what the program says.
fn literals(name: &str, text: &str) -> Vec<Passage> {
    let is_test = |part: &str| ["tests", "tests.rs", "xtask", "bench", "fuzz"].contains(&part);
    if name.split('/').any(is_test) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let program = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    let mut literal: Option<Passage> = None;
    for (index, line) in program.lines().enumerate() {
        if literal.is_none() && line.trim_start().starts_with("//") {
            continue;
        }
        let mut letters = line.chars().peekable();
        let mut before = ' ';
        while let Some(letter) = letters.next() {
            match (&mut literal, letter) {
                (Some(_), '"') => found.extend(literal.take()),
                (Some(open), '\\') => {
                    open.text.push(if letters.next() == Some('n') { '\n' } else { '_' });
                }
                (Some(open), letter) => open.text.push(letter),
                (None, '"') if before != '\'' => {
                    literal = Some(Passage { line: index + 1, kind: Kind::Text, text: String::new() });
                }
                (None, '/') if letters.peek() == Some(&'/') => break,
                (None, _) => {}
            }
            before = letter;
        }
        if let Some(open) = &mut literal {
            open.text.push(' ');
        }
    }
    found
}

/// Returns the docstrings of a Python file.
fn docstrings(name: &str, text: &str) -> Vec<Passage> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    let mut open: Option<Passage> = None;
    for (index, line) in lines.iter().map(|line| line.trim()).enumerate() {
        let content = match &open {
            Some(_) => line,
            None => match line.strip_prefix("\"\"\"").or_else(|| line.strip_prefix("r\"\"\"")) {
                Some(content) => content,
                None => continue,
            },
        };
        let kind = if documents_def(name, &lines[..index]) { Kind::FunctionDoc } else { Kind::Text };
        let passage = open.get_or_insert(Passage { line: index + 1, kind, text: String::new() });
        match content.split_once("\"\"\"") {
            Some((last, _)) => {
                passage.text.push_str(last);
                found.extend(open.take());
            }
            None => passage.text.push_str(&format!("{content}\n")),
        }
    }
    found
}

/// Returns whether these lines end with the head of a function that is no test.
fn documents_def(name: &str, lines: &[&str]) -> bool {
    if name.contains("tests/") || !lines.last().is_some_and(|line| line.trim_end().ends_with(':')) {
        return false;
    }
    let starts = |line: &&&str| ["def ", "async def ", "class "].iter().any(|word| line.trim_start().starts_with(word));
    lines.iter().rev().take(20).find(starts).is_some_and(|line| !line.trim_start().starts_with("class "))
}

/// Returns the paragraphs, list items and cells of a page, without its headings.
fn markdown(text: &str) -> Vec<Passage> {
    let mut found: Vec<Passage> = Vec::new();
    let mut in_code = false;
    let mut goes_on = false;
    for (index, line) in text.lines().map(str::trim).enumerate() {
        let is_fence = line.starts_with("```");
        in_code ^= is_fence;
        if in_code || is_fence || line.is_empty() || line.starts_with('#') {
            goes_on = false;
            continue;
        }
        let new = |text: &str| Passage { line: index + 1, kind: Kind::Text, text: text.trim().to_owned() };
        let item = line
            .strip_prefix("- ")
            .or_else(|| line.strip_prefix("* "))
            .or_else(|| line.split_once(". ").filter(|(number, _)| number.parse::<u8>().is_ok()).map(|(_, item)| item));
        if line.starts_with('|') {
            found.extend(line.split('|').map(new));
            goes_on = false;
        } else if let (true, None, Some(last)) = (goes_on, item, found.last_mut()) {
            last.text = format!("{}\n{line}", last.text);
        } else {
            found.push(new(item.unwrap_or(line)));
            goes_on = true;
        }
    }
    found
}

/// Replaces code in backticks and fences by a word, headings and lists by paragraphs, links by their text.
fn without_code(text: &str) -> String {
    let mut lines = Vec::new();
    let mut in_code = false;
    for line in text.lines().map(str::trim) {
        let is_fence = line.starts_with("```");
        in_code ^= is_fence;
        if in_code || is_fence || line.starts_with("# ") {
            lines.push(String::new());
        } else if let Some(item) = line.strip_prefix("- ").or_else(|| line.strip_prefix("* ")) {
            lines.push(format!("\n{item}"));
        } else {
            lines.push(line.to_owned());
        }
    }
    let text = lines.join("\n");
    let mut plain = String::new();
    for (number, part) in text.split('`').enumerate() {
        plain.push_str(if number % 2 == 0 { part } else { "`code`" });
    }
    plain.replace("[`code`]", "`code`").replace(['[', ']'], "")
}
