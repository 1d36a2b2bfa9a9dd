//! Patterns of names, as settings have them: `*` is any run of characters, `\*` a star, `\\` a backslash.

use std::{fmt, str::FromStr};

/// A pattern of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// What a name begins with.
    start: String,
    /// What follows in this order, anywhere; the last of them at the end. Empty for a pattern without a star.
    rest: Vec<String>,
}

/// A text that is no pattern.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadPattern {
    Empty,
    /// A backslash before something else than a star or a backslash.
    LoneBackslash,
}

impl Pattern {
    /// Returns whether a name, the whole of it, is what the pattern describes. Takes time in proportion to the length of
    /// the name for each star.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let Some(mut name) = name.strip_prefix(self.start.as_str()) else { return false };
        let Some((end, middle)) = self.rest.split_last() else { return name.is_empty() };
        for part in middle {
            // The first place that fits leaves the most for what follows.
            let Some(at) = name.find(part.as_str()) else { return false };
            name = &name[at + part.len()..];
        }
        name.ends_with(end.as_str())
    }
}

impl FromStr for Pattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        if text.is_empty() {
            return Err(BadPattern::Empty);
        }
        let mut parts = vec![String::new()];
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            let literal = match character {
                '*' => {
                    parts.push(String::new());
                    continue;
                }
                '\\' => characters.next().filter(|next| matches!(next, '*' | '\\')).ok_or(BadPattern::LoneBackslash)?,
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

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "a pattern must not be empty; `*` matches everything",
            Self::LoneBackslash => "in a pattern a backslash stands before `*` or another backslash only",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same by trying everything. `None` is a star.
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
    fn a_pattern_is_of_the_whole_name() {
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
        for (text, mistake) in
            [("", BadPattern::Empty), ("a\\b", BadPattern::LoneBackslash), ("a\\", BadPattern::LoneBackslash)]
        {
            assert_eq!(text.parse::<Pattern>(), Err(mistake), "{text}");
        }
    }

    proptest! {
        #[test]
        fn it_matches_what_trying_everything_matches(
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
