//! Parses the values of settings, and collects every error.

use std::{net::SocketAddr, time::Duration};

use http::{HeaderValue, Uri};
use tidecast_serve::limits::REACTORS_MAX;
use tracing_subscriber::filter::LevelFilter;

use super::{
    file::nearest,
    options::find,
    sources::{Setting, SettingError, Settings},
    spec::{ValueKind, Zero},
    units::{parse_bytes, parse_duration},
};
use crate::auth::pattern::Pattern;

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    /// A JSON object a line.
    Json,
}

/// Parses settings by key. A value that cannot be parsed adds an error, and the caller goes on.
pub(super) struct SettingReader<'a> {
    pub(super) settings: &'a Settings,
    pub(super) errors: Vec<SettingError>,
}

impl<'a> SettingReader<'a> {
    pub(super) fn new(settings: &'a Settings) -> Self {
        Self { settings, errors: settings.errors.clone() }
    }

    /// Adds an error about a setting.
    pub(super) fn add_error(&mut self, key: &str, text: String) {
        let line = self.settings.find(key).map_or(0, |setting| setting.source.line_of_value(0));
        self.errors.push(SettingError { line, text });
    }

    /// Returns the values of a setting, or of its default.
    pub(super) fn values<T>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let option = find(key).expect("only declared options are read");
        let default = [option.default.to_owned()];
        let set = self.settings.find(key);
        let texts = match set {
            Some(setting) => &setting.values[..],
            None if option.default.is_empty() => &[],
            None => &default[..],
        };
        let mut values = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            let parsed = match option.zero {
                Zero::Invalid(why) if is_zero(text) => Err(format!("must not be 0: {why}")),
                _ => parse(text),
            };
            match parsed {
                Ok(value) => values.push(value),
                Err(why) => {
                    let (source, line) = match set {
                        Some(Setting { source, .. }) => (source.of_value(index), source.line_of_value(index)),
                        None => (self.settings.source(key), 0),
                    };
                    self.errors.push(SettingError { line, text: format!("{source}: {why}") });
                }
            }
        }
        values
    }

    /// Returns the value of a setting, or of its default, if it has one.
    pub(super) fn value<T>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        self.values(key, parse).pop()
    }

    /// Returns a duration; zero if it cannot be parsed, as the error discards the configuration anyway.
    pub(super) fn time(&mut self, key: &'static str) -> Duration {
        self.value(key, parse_duration).unwrap_or_default()
    }

    /// Returns a size in bytes; zero if it cannot be parsed.
    pub(super) fn size(&mut self, key: &'static str) -> usize {
        self.value(key, parse_bytes).unwrap_or_default()
    }

    /// Returns a number; zero if it cannot be parsed.
    pub(super) fn count(&mut self, key: &'static str) -> usize {
        self.value(key, parse_count).unwrap_or_default()
    }

    /// Returns a switch; off if it cannot be parsed.
    pub(super) fn switch(&mut self, key: &'static str) -> bool {
        self.value(key, parse_switch).unwrap_or_default()
    }
}

fn is_zero(text: &str) -> bool {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    !digits.is_empty() && digits.bytes().all(|byte| byte == b'0')
}

/// Parses an address. A host name is not accepted, except `localhost`: it could stand for several addresses.
pub(super) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let local = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let address = local.as_deref().unwrap_or(text).parse();
    address.map_err(|_| format!("{text:?} is not an address: write {}", ValueKind::Address.written()))
}

/// Parses a key, which must pass through a header unchanged. The error does not show it.
pub(super) fn parse_key(text: &str) -> Result<String, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the key must be one or more visible ASCII characters, because a header carries it".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) fn parse_switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(format!("{text:?} is neither `true` nor `false`")),
    }
}

pub(super) fn parse_pattern(text: &str) -> Result<Pattern, String> {
    text.parse().map_err(|error| format!("{text:?}: {error}"))
}

pub(super) fn parse_count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("{text:?} is not a whole number"))
}

/// Parses a number of reactors. Each is a thread, so a number beyond any machine's cores is an error.
pub(super) fn parse_reactors(text: &str) -> Result<usize, String> {
    match parse_count(text)? {
        count if count > REACTORS_MAX => Err(format!("{text} is more than {REACTORS_MAX}")),
        count if count > 0 && cfg!(not(target_os = "linux")) => {
            Err("this system does not support reactors: set 0".to_owned())
        }
        count => Ok(count),
    }
}

pub(super) fn parse_retry(text: &str) -> Result<Duration, String> {
    let retry = parse_duration(text)?;
    if retry > tidecast::limits::RETRY_MAX {
        return Err(format!("{text} is more than 24h"));
    }
    Ok(retry)
}

pub(super) fn parse_log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("{text:?} is neither `text` nor `json`")),
    }
}

/// Parses a log filter. The filter takes a word that is not a level for a target, and then logs nothing else, so that a
/// misspelt level would silence the log. Words that are neither a level nor a known target are therefore errors.
pub(super) fn parse_log_filter(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

    let is_known = |directive: &str| {
        directive.is_empty()
            || directive.contains(['=', '['])
            || directive.starts_with("tidecast")
            || directive.parse::<LevelFilter>().is_ok()
    };
    if let Some(word) = text.split(',').map(str::trim).find(|directive| !is_known(directive)) {
        let guess = match nearest(&word.to_ascii_lowercase(), LEVELS) {
            Some(level) => format!("; did you mean `{level}`?"),
            None => String::new(),
        };
        return Err(format!(
            "{word:?} is neither a level ({}) nor a target that begins with `tidecast`{guess}",
            LEVELS.join(", ")
        ));
    }
    match text.parse::<tracing_subscriber::EnvFilter>() {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{text:?} is not a filter: {error}")),
    }
}

/// Parses one origin, as a browser writes it.
pub(super) fn parse_origin(text: &str) -> Result<HeaderValue, String> {
    let plain = || {
        let uri: Uri = text.parse().ok()?;
        let (scheme, authority) = (uri.scheme_str()?, uri.authority()?.as_str());
        let plain = text.eq_ignore_ascii_case(&format!("{scheme}://{authority}")) && !authority.contains('@');
        // A browser leaves out the default port.
        let text = text.to_ascii_lowercase();
        let default_port = if scheme == "https" { ":443" } else { ":80" };
        let text = text.strip_suffix(default_port).unwrap_or(&text);
        plain.then(|| HeaderValue::from_str(text).ok()).flatten()
    };
    plain().ok_or_else(|| {
        format!("{text:?} is not an origin: write scheme, host and port only, such as http://localhost:5000")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// `--log warning` was taken for a target, and silenced the log; `check-config` accepted it.
    #[test]
    fn a_log_filter_consists_of_levels_and_known_targets() {
        for right in
            ["warn", "INFO", "off", "3", "info,tidecast_redis=debug", "tidecast::access=info", "warn,hyper=trace"]
        {
            assert!(Config::from_settings(&Settings::of_flags(&[("log", right)])).is_ok(), "{right}");
        }
        for (wrong, part) in [
            ("warning", "\"warning\" is neither a level (error, warn, info, debug, trace, off) nor a target"),
            ("Warning", "; did you mean `warn`?"),
            ("tidecast=debug,err", "; did you mean `error`?"),
            ("loud", "\"loud\" is neither"),
            ("tidecast=loud", "is not a filter"),
        ] {
            let errors = Config::from_settings(&Settings::of_flags(&[("log", wrong)])).unwrap_err();
            assert!(errors.len() == 1 && errors[0].starts_with("--log: ") && errors[0].contains(part), "{errors:?}");
        }
    }
}
