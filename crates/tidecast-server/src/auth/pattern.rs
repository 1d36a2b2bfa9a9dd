//! Patterns of names in settings: `*` matches any run of characters, `\*` an asterisk, `\\` a backslash.

use std::{fmt, str::FromStr};

/// A pattern of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// The text before the first asterisk.
    start: String,
    /// The texts after each asterisk, in order; the last one ends the name. Empty for a pattern without an asterisk.
    rest: Vec<String>,
}

/// An error in a pattern.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PatternError {
    Empty,
    /// A backslash that precedes neither an asterisk nor a backslash.
    LoneBackslash,
}

impl Pattern {
    /// Returns whether the pattern matches the whole name. Takes time in proportion to the length of the name for each
    /// asterisk.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let Some(mut name) = name.strip_prefix(self.start.as_str()) else { return false };
        let Some((end, middle)) = self.rest.split_last() else { return name.is_empty() };
        for part in middle {
            // The first match leaves the most text for the other parts.
            let Some(at) = name.find(part.as_str()) else { return false };
            name = &name[at + part.len()..];
        }
        name.ends_with(end.as_str())
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        let mut parts = vec![String::new()];
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            let literal = match character {
                '*' => {
                    parts.push(String::new());
                    continue;
                }
                '\\' => {
                    characters.next().filter(|next| matches!(next, '*' | '\\')).ok_or(PatternError::LoneBackslash)?
                }
                literal => literal,
            };
            if let Some(part) = parts.last_mut() {
                part.push(literal);
            }
        }
        let rest = parts.split_off(1);
        Ok(Self { start: parts.pop().unwrap_or_default(), rest })
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "a pattern must not be empty; `*` matches everything",
            Self::LoneBackslash => "in a pattern, a backslash must precede `*` or another backslash",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Matches by trying every possibility. `None` is an asterisk.
    fn naive(pattern: &[Option<char>], name: &[char]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((None, rest)) => (0..=name.len()).any(|skipped| naive(rest, &name[skipped..])),
            Some((Some(literal), rest)) => name.first() == Some(literal) && naive(rest, &name[1..]),
        }
    }

    fn text(pattern: &[Option<char>]) -> String {
        let written = |part: &Option<char>| match part {
            None => "*".to_owned(),
            Some('*') => "\\*".to_owned(),
            Some('\\') => "\\\\".to_owned(),
            Some(literal) => literal.to_string(),
        };
        pattern.iter().map(written).collect()
    }

    #[test]
    fn a_pattern_matches_the_whole_name() {
        let matches = |pattern: &str, name: &str| pattern.parse::<Pattern>().unwrap().matches(name);
        for (pattern, name) in
            [("*", ""), ("*", "a"), ("news", "news"), ("chat/*", "chat/"), ("chat/*/*", "chat/1/2"), ("a**b", "ab")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("news", "news2"),
            ("news", "New"),
            ("chat/*", "chat"),
            ("*.pidbox", "celery.pidbox2"),
            ("a*a", "a"),
            ("ab*ba", "aba"),
            ("\\*", "a"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        for (text, error) in
            [("", PatternError::Empty), ("a\\b", PatternError::LoneBackslash), ("a\\", PatternError::LoneBackslash)]
        {
            assert_eq!(text.parse::<Pattern>(), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn it_matches_the_same_names_as_trying_every_possibility(
            pattern in proptest::collection::vec(
                prop_oneof![2 => Just(None), 3 => proptest::sample::select(vec!['a', 'b', 'é', '*', '\\']).prop_map(Some)],
                1..8,
            ),
            name in "[abé*\\\\]{0,10}",
        ) {
            let parsed: Pattern = text(&pattern).parse().unwrap();
            let characters: Vec<char> = name.chars().collect();
            prop_assert_eq!(parsed.matches(&name), naive(&pattern, &characters));
        }
    }
}
