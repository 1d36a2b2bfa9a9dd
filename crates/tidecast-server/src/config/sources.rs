//! Where settings come from: flags, then the environment, then a file.
//!
//! Everything is text until it is parsed, so that each mistake can name the key and where it came from, and all of them
//! can be told at once.

use std::{collections::BTreeMap, fmt, path::Path};

use super::{
    options::OPTIONS,
    spec::{Kind, OptionSpec},
};
use crate::http::publish::BYTE_ORDER_MARK;

/// What was set, by key. An option that nobody set is not in it.
#[derive(Debug, Default)]
pub(crate) struct Settings(BTreeMap<&'static str, Setting>);

/// A value that was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// One value, but for options that take several.
    pub(crate) values: Vec<String>,
    pub(crate) source: Source,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Flag(String),
    Variable(String),
    File { key: String, file: String, line: Option<usize> },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Variable(name) => f.write_str(name),
            Self::File { key, file, line: Some(line) } => write!(f, "{key} in {file}, line {line}"),
            Self::File { key, file, line: None } => write!(f, "{key} in {file}"),
        }
    }
}

impl Settings {
    /// Adds the settings of a less weighty source: what is set already stays.
    pub(crate) fn add(&mut self, option: &OptionSpec, setting: Setting) {
        self.0.entry(option.key).or_insert(setting);
    }

    /// What was set for a key.
    pub(crate) fn find(&self, key: &str) -> Option<&Setting> {
        self.0.get(key)
    }

    /// Where the value of a key came from, in words.
    pub(crate) fn origin(&self, key: &str) -> String {
        self.find(key).map_or_else(|| format!("the default of {key}"), |setting| setting.source.to_string())
    }

    /// Adds what the environment says. Answers with the variables of our prefix that say nothing to us.
    pub(crate) fn add_environment(
        &mut self,
        variables: impl IntoIterator<Item = (String, String)>,
        known_elsewhere: &[&str],
    ) -> Vec<String> {
        let mut unknown = Vec::new();
        for (name, value) in variables.into_iter().filter(|(name, _)| name.starts_with("TIDECAST_")) {
            let Some(option) = OPTIONS.iter().find(|option| option.variable() == name) else {
                // Where a service of that name runs, Kubernetes sets variables such as TIDECAST_PORT_8000_TCP.
                let from_kubernetes =
                    ["TIDECAST_SERVICE_", "TIDECAST_PORT"].iter().any(|start| name.starts_with(start));
                if !from_kubernetes && !known_elsewhere.contains(&name.as_str()) {
                    unknown.push(name);
                }
                continue;
            };
            // An empty variable is one that somebody unset as well as they could.
            if value.is_empty() {
                continue;
            }
            let values = if option.kind.is_list() {
                value.split(',').map(|part| part.trim().to_owned()).collect()
            } else {
                vec![value]
            };
            self.add(option, Setting { values, source: Source::Variable(name) });
        }
        unknown
    }

    /// Adds what a file says, and answers with its mistakes.
    pub(crate) fn add_file(&mut self, path: &Path, text: &str) -> Vec<String> {
        let file = path.display().to_string();
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let table: toml::Table = match text.parse() {
            Ok(table) => table,
            Err(error) => return vec![format!("{file} is not TOML: {}", without_excerpt(text, &error))],
        };
        let mut mistakes = Vec::new();
        for (key, value) in table {
            let line = text.lines().position(|line| is_line_of(line, &key)).map(|line| line + 1);
            let origin = Source::File { key: key.clone(), file: file.clone(), line };
            let Some(option) = OPTIONS.iter().find(|option| option.key == key) else {
                let why = match value {
                    toml::Value::Table(_) => {
                        "there is no such key; the file has no sections: write the keys without one"
                    }
                    _ => "there is no such key",
                };
                mistakes.push(format!("{origin}: {why}{}", suggestion(&key)));
                continue;
            };
            let wrong = wrong_shape(option, &value);
            match texts(option.kind, value) {
                Some(values) => self.add(option, Setting { values, source: origin }),
                None => mistakes.push(format!("{origin}: {wrong}")),
            }
        }
        mistakes
    }
}

/// Returns what is wrong with a file, and where. The error itself shows the line, which may have a secret in it.
fn without_excerpt(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.matches('\n').count() + 1;
    let column = before[line_start..].chars().count() + 1;
    format!("line {line}, column {column}: {}", error.message())
}

fn is_line_of(line: &str, key: &str) -> bool {
    let line = line.trim_start();
    let section = line.strip_prefix('[').map(str::trim_start);
    let follows =
        |line: &str, sign: char| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(sign));
    follows(line, '=') || section.is_some_and(|line| follows(line, ']'))
}

/// A value of a file as text, where it has the shape that the option takes.
fn texts(kind: Kind, value: toml::Value) -> Option<Vec<String>> {
    match (kind, value) {
        (Kind::Switch | Kind::Truth, toml::Value::Boolean(on)) => Some(vec![on.to_string()]),
        (Kind::Count | Kind::Size | Kind::Time, toml::Value::Integer(number)) => Some(vec![number.to_string()]),
        (kind, toml::Value::Array(values)) if kind.is_list() => {
            values.into_iter().map(|value| value.as_str().map(str::to_owned)).collect()
        }
        (Kind::Count | Kind::Switch | Kind::Truth, _) => None,
        (_, toml::Value::String(text)) => Some(vec![text]),
        _ => None,
    }
}

/// Returns the known key that is nearest to a misspelt one, if one is near.
fn suggestion(key: &str) -> String {
    match nearest(key, OPTIONS.iter().map(|option| option.key)) {
        Some(known) => format!("; did you mean {known}?"),
        None => String::new(),
    }
}

/// Returns the known name that is nearest to a misspelt one, if one is near.
pub(super) fn nearest(name: &str, known: impl IntoIterator<Item = &'static str>) -> Option<&'static str> {
    let near = |known: &&str| strsim::jaro_winkler(known, name);
    let best = known.into_iter().max_by(|one, other| near(one).total_cmp(&near(other)));
    best.filter(|known| near(known) > 0.8)
}

/// Returns what is wrong with a value that has another shape than the option takes.
fn wrong_shape(option: &OptionSpec, value: &toml::Value) -> String {
    let written = option.kind.written();
    match value {
        toml::Value::Table(_) => {
            let one = if option.kind.is_text() { "one string" } else { "one setting" };
            format!("is {one}, and the file has no sections: write `{} = …`, with {written}", option.key)
        }
        toml::Value::String(_) | toml::Value::Array(_) => format!("must be {written}"),
        _ if option.kind.is_text() => format!("write it in quotes: must be {written}"),
        _ => format!("must be {written}"),
    }
}
