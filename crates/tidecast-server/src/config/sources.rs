//! The settings and where each comes from: a flag, else an environment variable, else the file.
//!
//! Values stay text until the configuration is parsed, so that every error names its key and source, and all errors are
//! reported together.

use std::{collections::BTreeMap, fmt};

use super::{options::OPTIONS, spec::OptionSpec};

/// The settings that are set, and the errors of collecting them.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    by_key: BTreeMap<&'static str, Setting>,
    pub(super) errors: Vec<SettingError>,
}

/// An error in the settings.
#[derive(Debug, Clone)]
pub(super) struct SettingError {
    /// The line in the file; 0 for an error that is not in the file.
    pub(super) line: usize,
    pub(super) text: String,
}

/// The value of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// One value; several for a list.
    pub(crate) values: Vec<String>,
    pub(crate) source: SettingSource,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SettingSource {
    Flag(String),
    Variable(String),
    File {
        key: String,
        file: String,
        line: usize,
    },
    /// Repeated tables of a file, one for each value.
    Tables {
        key: String,
        file: String,
        /// The line of each table.
        lines: Vec<usize>,
    },
}

impl SettingSource {
    /// Returns the line of one of a list's values in the file; 0 for one that is not in the file.
    pub(super) fn line_of_value(&self, index: usize) -> usize {
        match self {
            Self::Flag(_) | Self::Variable(_) => 0,
            Self::File { line, .. } => *line,
            Self::Tables { lines, .. } => lines.get(index).copied().unwrap_or_default(),
        }
    }

    /// Returns the source of one of a list's values.
    pub(super) fn of_value(&self, index: usize) -> String {
        match self {
            Self::Tables { key, file, lines } if index < lines.len() => {
                format!("[[{key}]] in {file}, line {}", lines[index])
            }
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for SettingSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Variable(name) => f.write_str(name),
            Self::File { key, file, line } => write!(f, "{key} in {file}, line {line}"),
            Self::Tables { key, file, lines } => {
                let lines: Vec<_> = lines.iter().map(usize::to_string).collect();
                let word = if lines.len() == 1 { "line" } else { "lines" };
                write!(f, "[[{key}]] in {file}, {word} {}", lines.join(", "))
            }
        }
    }
}

impl Settings {
    /// Adds a setting of a source with less precedence: a value that is set already stays.
    pub(crate) fn add(&mut self, option: &OptionSpec, setting: Setting) {
        self.by_key.entry(option.key).or_insert(setting);
    }

    /// Adds an error that is in no line of the file.
    pub(crate) fn add_error(&mut self, text: String) {
        self.errors.push(SettingError { line: 0, text });
    }

    /// Returns the setting of a key, if it is set.
    pub(crate) fn find(&self, key: &str) -> Option<&Setting> {
        self.by_key.get(key)
    }

    /// Returns where the value of a key comes from, for messages.
    pub(crate) fn source(&self, key: &str) -> String {
        self.find(key).map_or_else(|| format!("the default of {key}"), |setting| setting.source.to_string())
    }

    /// Adds the environment's settings. Returns the variables with our prefix that are not known.
    pub(crate) fn add_environment(
        &mut self,
        variables: impl IntoIterator<Item = (String, String)>,
        known_elsewhere: &[&str],
    ) -> Vec<String> {
        let mut unknown = Vec::new();
        for (name, value) in variables.into_iter().filter(|(name, _)| name.starts_with("TIDECAST_")) {
            let Some(option) = OPTIONS.iter().find(|option| option.variable() == name) else {
                // Kubernetes sets variables such as TIDECAST_PORT_8000_TCP for a service of that name.
                let from_kubernetes =
                    ["TIDECAST_SERVICE_", "TIDECAST_PORT"].iter().any(|start| name.starts_with(start));
                if !from_kubernetes && !known_elsewhere.contains(&name.as_str()) {
                    unknown.push(name);
                }
                continue;
            };
            // An empty variable counts as not set.
            if value.is_empty() {
                continue;
            }
            let values = if option.kind.is_list() {
                value.split(',').map(|part| part.trim().to_owned()).collect()
            } else {
                vec![value]
            };
            self.add(option, Setting { values, source: SettingSource::Variable(name) });
        }
        unknown
    }

    /// Returns the settings of flags, each with one value.
    #[cfg(test)]
    pub(crate) fn of_flags(flags: &[(&str, &str)]) -> Self {
        let mut settings = Self::default();
        for (key, value) in flags {
            let option = OPTIONS.iter().find(|option| option.key == *key).expect("a known key");
            settings
                .add(option, Setting { values: vec![(*value).to_owned()], source: SettingSource::Flag(option.flag()) });
        }
        settings
    }
}
