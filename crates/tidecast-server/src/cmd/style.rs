//! Colours on a terminal, and text without control characters.

use std::{
    borrow::Cow,
    env, fmt,
    fmt::Write as _,
    io::{self, IsTerminal},
};

/// The style of an output: with or without colours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    coloured: bool,
}

/// The role of a text, which has a colour.
#[derive(Debug, Clone, Copy)]
pub(super) enum Emphasis {
    /// Less important than the text beside it.
    Dim,
    /// A name.
    Name,
    /// A notice.
    Notice,
}

impl Style {
    /// Uses colours if `output` is a terminal that has them, unless `NO_COLOR` is set (see no-color.org).
    pub(super) fn of(output: &impl IsTerminal) -> Self {
        let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let without = env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
        Self { coloured: output.is_terminal() && !unwanted && !without }
    }

    /// Returns a text in the colour of its role.
    pub(super) fn paint<T: fmt::Display>(self, emphasis: Emphasis, text: T) -> impl fmt::Display {
        let (begin, end) = match (self.coloured, emphasis) {
            (false, _) => ("", ""),
            (true, Emphasis::Dim) => ("\x1b[2m", "\x1b[0m"),
            (true, Emphasis::Name) => ("\x1b[36m", "\x1b[0m"),
            (true, Emphasis::Notice) => ("\x1b[1;33m", "\x1b[0m"),
        };
        Painted { begin, text, end }
    }
}

struct Painted<T> {
    begin: &'static str,
    text: T,
    end: &'static str,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.begin, self.text, self.end)
    }
}

/// Returns whether a terminal interprets a character instead of showing it: the control characters, also those from U+0080
/// on, and those that change the direction of text.
fn is_interpreted(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Escapes the characters that a terminal would interpret, so that a publisher cannot move the cursor.
pub(super) fn sanitize(text: &str) -> Cow<'_, str> {
    let is_escaped = |c: char| is_interpreted(c) && c != '\t' && c != '\n';
    if !text.contains(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match u32::from(c) {
            code @ ..=0xff if is_escaped(c) => drop(write!(shown, "\\x{code:02x}")),
            code if is_escaped(c) => drop(write!(shown, "\\u{{{code:x}}}")),
            _ => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Writes JSON for a terminal: it escapes every character that a terminal would interpret, while JSON requires that only
/// below U+0020.
pub(super) struct SanitizedJson;

impl serde_json::ser::Formatter for SanitizedJson {
    fn write_string_fragment<W: io::Write + ?Sized>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_interpreted) {
            let interpreted = rest[at..].chars().next().unwrap_or_default();
            writer.write_all(&rest.as_bytes()[..at])?;
            write!(writer, "\\u{:04x}", u32::from(interpreted))?;
            rest = &rest[at + interpreted.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::{SanitizedJson, sanitize};

    #[test]
    fn characters_that_a_terminal_interprets_are_escaped() {
        assert_eq!(sanitize("a\tb\nc ü"), "a\tb\nc ü");
        assert_eq!(sanitize("\x1b[2Jgone\r\u{9b}"), "\\x1b[2Jgone\\x0d\\x9b");
        assert_eq!(sanitize("a\u{202e}b"), "a\\u{202e}b");
    }

    /// JSON does not escape characters from U+007F on: `tail --json` wrote U+009B, which begins a terminal command, as it
    /// came.
    #[test]
    fn characters_that_a_terminal_interprets_are_escaped_in_json() {
        let interpreted: String = (0..0xa0).chain([0x61c, 0x200e, 0x202e, 0x2066]).filter_map(char::from_u32).collect();
        let text = interpreted + "ü\u{2028}🌊";
        let mut written = Vec::new();
        text.serialize(&mut serde_json::Serializer::with_formatter(&mut written, SanitizedJson)).unwrap();
        let written = String::from_utf8(written).unwrap();
        assert!(!written.contains(super::is_interpreted), "{written:?}");
        assert!(written.contains("\\u009b") && written.contains("\\u202e") && written.contains('ü'), "{written}");
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
    }
}
