//! Colours of a terminal, and what of a text is safe to show on one.

use std::{borrow::Cow, env, fmt, fmt::Write as _, io::IsTerminal};

/// Whether colours are used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    coloured: bool,
}

/// What a text is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ink {
    /// Less important than what stands beside it.
    Dim,
    /// A name.
    Name,
    /// Something to notice.
    Notice,
}

impl Style {
    /// Colours where `output` is a terminal, unless `NO_COLOR` is set (see no-color.org) or the terminal has none.
    pub(super) fn of(output: &impl IsTerminal) -> Self {
        let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let without = env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
        Self { coloured: output.is_terminal() && !unwanted && !without }
    }

    /// A text in a colour.
    pub(super) fn paint<T: fmt::Display>(self, ink: Ink, text: T) -> impl fmt::Display {
        let (begin, end) = match (self.coloured, ink) {
            (false, _) => ("", ""),
            (true, Ink::Dim) => ("\x1b[2m", "\x1b[0m"),
            (true, Ink::Name) => ("\x1b[36m", "\x1b[0m"),
            (true, Ink::Notice) => ("\x1b[1;33m", "\x1b[0m"),
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

/// A text without what a terminal would obey: a publisher must not be able to move somebody's cursor.
pub(super) fn harmless(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| c.is_control() && c != '\t' && c != '\n';
    if !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if obeyed(c) {
            let _ = write!(shown, "\\x{:02x}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        assert_eq!(harmless("a\tb\nc ü"), "a\tb\nc ü");
        assert_eq!(harmless("\x1b[2Jgone\r\u{9b}"), "\\x1b[2Jgone\\x0d\\x9b");
    }
}
