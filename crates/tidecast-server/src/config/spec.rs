//! The specification of an option: its names, the form of its value, and the meaning of zero.

/// The specification of an option. [`options`](super::options) has one for each.
#[derive(Debug)]
pub(crate) struct OptionSpec {
    /// The key in a file. The flag has hyphens for its underscores, the variable is `TIDECAST_` and the key in capitals.
    pub(crate) key: &'static str,
    pub(crate) kind: ValueKind,
    /// The default as it would be written; empty if there is none, or it depends on something.
    pub(crate) default: &'static str,
    /// A description of a default that depends on something.
    pub(crate) default_note: &'static str,
    pub(crate) zero: Zero,
    /// The description, without the last full stop.
    pub(crate) doc: &'static str,
}

/// The form of an option's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueKind {
    Address,
    Secret,
    /// A switch that is off by default; its flag takes no value.
    Switch,
    /// A switch that is on by default; its flag takes a value.
    Truth,
    /// A list of origins.
    Origins,
    /// A list of patterns of channels.
    Patterns,
    /// A list of patterns of hosts.
    Hosts,
    Time,
    Size,
    Count,
    Choice(&'static [&'static str]),
    Text,
    Redis,
    Prefix,
}

/// The meaning of zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zero {
    /// Zero has no special meaning, or the value is not a number.
    Plain,
    /// Zero has this meaning.
    Means(&'static str),
    /// Zero is an error, for this reason.
    Invalid(&'static str),
}

impl OptionSpec {
    pub(super) const fn new(key: &'static str, kind: ValueKind, doc: &'static str) -> Self {
        Self { key, kind, default: "", default_note: "", zero: Zero::Plain, doc }
    }

    pub(super) const fn default(self, default: &'static str) -> Self {
        Self { default, ..self }
    }

    pub(super) const fn default_note(self, default_note: &'static str) -> Self {
        Self { default_note, ..self }
    }

    pub(super) const fn zero(self, meaning: &'static str) -> Self {
        Self { zero: Zero::Means(meaning), ..self }
    }

    pub(super) const fn not_zero(self, why: &'static str) -> Self {
        Self { zero: Zero::Invalid(why), ..self }
    }

    /// Returns the flag, with its hyphens.
    pub(crate) fn flag(&self) -> String {
        format!("--{}", self.key.replace('_', "-"))
    }

    /// Returns the name of the environment variable.
    pub(crate) fn variable(&self) -> String {
        format!("TIDECAST_{}", self.key.to_uppercase())
    }

    /// Returns the default as `--help` shows it.
    pub(crate) fn shown_default(&self) -> &'static str {
        match (self.default, self.default_note) {
            ("", "") => "none",
            ("", note) => note,
            (default, _) => default,
        }
    }
}

impl ValueKind {
    /// Returns whether an option takes several values.
    pub(crate) fn is_list(self) -> bool {
        self.table_key().is_some()
    }

    /// Returns the key of the tables that a list may be written as in a file; `None` if the option is not a list.
    pub(crate) fn table_key(self) -> Option<&'static str> {
        match self {
            Self::Origins => Some("origin"),
            Self::Patterns => Some("channel"),
            Self::Hosts => Some("host"),
            _ => None,
        }
    }

    /// Returns whether a value in a file is a string.
    pub(crate) fn is_text(self) -> bool {
        !self.is_list() && !matches!(self, Self::Switch | Self::Truth | Self::Count | Self::Size | Self::Time)
    }

    /// Returns the placeholder of the value in `--help`.
    pub(crate) fn placeholder(self) -> &'static str {
        match self {
            Self::Address => "ADDR:PORT",
            Self::Secret => "KEY",
            Self::Switch => "",
            Self::Truth => "BOOL",
            Self::Origins => "ORIGIN",
            Self::Patterns => "PATTERN",
            Self::Hosts => "HOST",
            Self::Time => "TIME",
            Self::Size => "SIZE",
            Self::Count => "N",
            Self::Choice(_) => "FORMAT",
            Self::Text => "FILTER",
            Self::Redis => "URL",
            Self::Prefix => "PREFIX",
        }
    }

    /// Returns an example of a value whose default is empty.
    pub(super) fn example(self) -> &'static str {
        match self {
            Self::Count => "1000",
            Self::Secret => "a long random text",
            Self::Origins => "http://localhost:5000",
            Self::Patterns => "news/*",
            Self::Hosts => "hub.example",
            Self::Redis => "redis://localhost:6379/0",
            _ => "",
        }
    }

    /// Describes how a value is written.
    pub(crate) fn written(self) -> String {
        let list =
            |value: &str| format!("{value}; several: the flag repeated, commas in the variable, an array in a file");
        match self {
            Self::Address => "an IP address and a port, such as `127.0.0.1:8000` or `[::1]:8000`".to_owned(),
            Self::Secret => "visible ASCII characters".to_owned(),
            Self::Switch => "`true` or `false`; the flag takes no value".to_owned(),
            Self::Truth => "`true` or `false`".to_owned(),
            Self::Origins => list("scheme, host and port, such as `http://localhost:5000`"),
            Self::Patterns => {
                list("a channel, in which `*` matches any run of characters, `\\*` an asterisk and `\\\\` a backslash")
            }
            Self::Hosts => {
                list("a name or an address, with or without its port, in which `*` matches any run of characters")
            }
            Self::Time => "a whole number with `ms`, `s`, `m` or `h`, or `0`".to_owned(),
            Self::Size => "bytes, or a whole number with `KiB`, `MiB` or `GiB`".to_owned(),
            Self::Count => "a whole number".to_owned(),
            Self::Choice(choices) => {
                let quoted: Vec<_> = choices.iter().map(|choice| format!("`{choice}`")).collect();
                quoted.join(" or ")
            }
            Self::Text => "text".to_owned(),
            Self::Redis => {
                "`redis://USER:PASSWORD@HOST:PORT/DB`, `rediss://…`, `unix://…`, and the URLs of Sentinel and Cluster"
                    .to_owned()
            }
            Self::Prefix => "1 to 64 visible ASCII characters, no braces".to_owned(),
        }
    }
}
