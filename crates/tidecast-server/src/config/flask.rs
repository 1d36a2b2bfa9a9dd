//! The environment variables by which Flask programs find their Redis, so that a hub beside them finds it too.
//!
//! Flask-SSE reads `SSE_REDIS_URL`, else `REDIS_URL`; the older extension of that name reads `SSE_REDIS_HOST`,
//! `SSE_REDIS_PORT` and `SSE_REDIS_DB`. A hub reads them if none of its own settings names a Redis.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    options::find,
    sources::{Setting, SettingSource, Settings},
};

const URLS: [&str; 2] = ["SSE_REDIS_URL", "REDIS_URL"];

/// The parts of an address, each with its default.
const PARTS: [(&str, &str); 3] = [("SSE_REDIS_HOST", "localhost"), ("SSE_REDIS_PORT", "6379"), ("SSE_REDIS_DB", "0")];

/// Characters are escaped so that one part cannot become another. A part that is not a host, port or number is then refused.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

impl Settings {
    /// Adds the Redis that the environment names for Flask programs, unless one is set. An empty variable counts as not set.
    pub(crate) fn add_flask(&mut self, variable: impl Fn(&str) -> Option<String>) {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let option = find("redis").expect("it is declared");
        let whole = URLS.into_iter().find_map(|name| Some((variable(name)?, name.to_owned())));
        if let Some((url, name)) = whole.or_else(|| from_parts(variable)) {
            self.add(option, Setting { values: vec![url], source: SettingSource::Variable(name) });
        }
    }
}

/// Returns the URL that the parts make and the names of the variables, if any is set.
fn from_parts(variable: impl Fn(&str) -> Option<String>) -> Option<(String, String)> {
    let given: Vec<_> = PARTS.iter().filter(|(name, _)| variable(name).is_some()).map(|(name, _)| *name).collect();
    if given.is_empty() {
        return None;
    }
    let [host, port, db] = PARTS.map(|(name, default)| variable(name).unwrap_or_else(|| default.to_owned()));
    let escape = |text: &str| utf8_percent_encode(text, ESCAPED).to_string();
    let host = match host.parse::<std::net::Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => escape(&host),
    };
    Some((format!("redis://{host}:{}/{}", escape(&port), escape(&db)), given.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the setting that an environment makes, as `URL from NAMES`; empty if there is none.
    fn setting_of(environment: &[(&str, &str)]) -> String {
        let mut settings = Settings::default();
        settings.add_flask(|asked| {
            environment.iter().find(|(name, _)| *name == asked).map(|(_, value)| (*value).to_owned())
        });
        let setting = settings.find("redis");
        setting.map_or_else(String::new, |setting| format!("{} from {}", setting.values[0], setting.source))
    }

    #[test]
    fn the_first_variable_that_is_set_is_used() {
        let all = [
            ("SSE_REDIS_URL", "redis://one"),
            ("REDIS_URL", "redis://two"),
            ("SSE_REDIS_HOST", "three"),
            ("SSE_REDIS_PORT", "4"),
            ("SSE_REDIS_DB", "5"),
        ];
        assert_eq!(setting_of(&all), "redis://one from SSE_REDIS_URL");
        assert_eq!(setting_of(&all[1..]), "redis://two from REDIS_URL");
        assert_eq!(setting_of(&all[2..]), "redis://three:4/5 from SSE_REDIS_HOST, SSE_REDIS_PORT, SSE_REDIS_DB");
        assert_eq!(setting_of(&all[3..4]), "redis://localhost:4/0 from SSE_REDIS_PORT");
        assert_eq!(setting_of(&all[4..]), "redis://localhost:6379/5 from SSE_REDIS_DB");
        assert_eq!(setting_of(&[]), "");
    }

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        let empty = [("SSE_REDIS_URL", ""), ("REDIS_URL", ""), ("SSE_REDIS_HOST", ""), ("SSE_REDIS_DB", "2")];
        assert_eq!(setting_of(&empty), "redis://localhost:6379/2 from SSE_REDIS_DB");
        assert_eq!(setting_of(&empty[..3]), "");
    }

    #[test]
    fn a_part_never_becomes_another_one() {
        assert_eq!(setting_of(&[("SSE_REDIS_HOST", "::1")]), "redis://[::1]:6379/0 from SSE_REDIS_HOST");
        assert_eq!(setting_of(&[("SSE_REDIS_HOST", "a@b/c?d")]), "redis://a%40b%2Fc%3Fd:6379/0 from SSE_REDIS_HOST");
        assert_eq!(setting_of(&[("SSE_REDIS_PORT", "1/2")]), "redis://localhost:1%2F2/0 from SSE_REDIS_PORT");
    }

    #[test]
    fn settings_of_the_hub_take_precedence() {
        let mut settings = Settings::default();
        settings.add_environment([("TIDECAST_REDIS".to_owned(), "redis://ours".to_owned())], &[]);
        settings.add_flask(|_| Some("redis://theirs".to_owned()));
        assert_eq!(settings.find("redis").map(|setting| &*setting.values[0]), Some("redis://ours"));
    }
}
