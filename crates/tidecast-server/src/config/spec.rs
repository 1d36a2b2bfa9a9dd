//! What an option is: its names, what its value looks like, and what zero means. [`options`](super::options) declares them.

/// Something that an operator may set.
#[derive(Debug)]
pub(crate) struct OptionSpec {
    /// The key in a file; the flag has hyphens for its underscores, the variable is `TIDECAST_` and it in capitals.
    pub(crate) key: &'static str,
    pub(crate) kind: Kind,
    /// What is taken where nothing is set; empty where that is nothing, or is worked out.
    pub(crate) default: &'static str,
    /// The default in words, where it is worked out.
    pub(crate) default_note: &'static str,
    pub(crate) zero: Zero,
    /// What it sets, as a sentence without its full stop.
    pub(crate) doc: &'static str,
}

/// What an option's value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Address,
    Secret,
    Switch,
    Origins,
    /// Patterns of channels.
    Patterns,
    /// Patterns of hosts.
    Hosts,
    Time,
    Size,
    Count,
    Choice(&'static [&'static str]),
    Text,
    /// A switch that is on unless it is told otherwise, so its flag takes a value.
    Truth,
    Redis,
    Prefix,
}

/// What zero means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zero {
    /// Just that, or the value is no number.
    Plain,
    /// Something of its own.
    Means(&'static str),
    /// Nothing that could work, and why.
    Invalid(&'static str),
}

impl OptionSpec {
    /// The flag, with its hyphens.
    pub(crate) fn flag(&self) -> String {
        format!("--{}", self.key.replace('_', "-"))
    }

    /// The environment variable.
    pub(crate) fn variable(&self) -> String {
        format!("TIDECAST_{}", self.key.to_uppercase())
    }

    /// The default as the reference shows it.
    pub(crate) fn shown_default(&self) -> &'static str {
        match (self.default, self.default_note) {
            ("", "") => "none",
            ("", note) => note,
            (default, _) => default,
        }
    }
}

impl Kind {
    /// Returns whether an option takes several values.
    pub(crate) fn is_list(self) -> bool {
        matches!(self, Self::Origins | Self::Patterns | Self::Hosts)
    }

    /// Returns whether a value in a file is a string.
    pub(crate) fn is_text(self) -> bool {
        !self.is_list() && !matches!(self, Self::Switch | Self::Truth | Self::Count | Self::Size | Self::Time)
    }

    /// What stands for the value in `--help`.
    pub(crate) fn placeholder(self) -> &'static str {
        match self {
            Self::Address => "ADDR:PORT",
            Self::Secret => "KEY",
            Self::Switch => "",
            Self::Origins => "ORIGIN",
            Self::Patterns => "PATTERN",
            Self::Hosts => "HOST",
            Self::Time => "TIME",
            Self::Size => "SIZE",
            Self::Count => "N",
            Self::Choice(_) => "FORMAT",
            Self::Text => "FILTER",
            Self::Truth => "BOOL",
            Self::Redis => "URL",
            Self::Prefix => "PREFIX",
        }
    }

    /// How it is written, in words.
    pub(crate) fn written(self) -> String {
        match self {
            Self::Address => "an IP address and a port, such as `127.0.0.1:8000` or `[::1]:8000`".to_owned(),
            Self::Secret => "visible ASCII characters".to_owned(),
            Self::Switch => "`true` or `false`; as a flag, given or not".to_owned(),
            Self::Origins => "scheme, host and port, such as `http://localhost:5000`; several: the flag repeated, \
                              commas in the variable, an array in a file"
                .to_owned(),
            Self::Patterns => {
                "a channel, in which `*` is any run of characters, `\\*` a star and `\\\\` a backslash; several: \
                               the flag repeated, commas in the variable, an array in a file"
                    .to_owned()
            }
            Self::Hosts => {
                "a name or an address, with its port or without, in which `*` is any run of characters; several: \
                            the flag repeated, commas in the variable, an array in a file"
                    .to_owned()
            }
            Self::Time => "a whole number with `ms`, `s`, `m` or `h`, or `0`".to_owned(),
            Self::Size => "bytes, or a whole number with `KiB`, `MiB` or `GiB`".to_owned(),
            Self::Count => "a whole number".to_owned(),
            Self::Choice(choices) => {
                let quoted: Vec<_> = choices.iter().map(|choice| format!("`{choice}`")).collect();
                quoted.join(" or ")
            }
            Self::Text => "text".to_owned(),
            Self::Truth => "`true` or `false`".to_owned(),
            Self::Redis => {
                "`redis://USER:PASSWORD@HOST:PORT/DB`, `rediss://…`, `unix://…`, and those of Sentinel and Cluster"
                    .to_owned()
            }
            Self::Prefix => "1 to 64 visible ASCII characters, no braces".to_owned(),
        }
    }
}
