//! What the hub was told, checked as a whole: every mistake is reported at once, with where it came from.

mod access;
mod broker;
pub(crate) mod document;
mod flask;
mod handle;
mod options;
mod sources;
mod spec;
pub(crate) mod units;

use std::{net::SocketAddr, time::Duration};

use http::{HeaderValue, Uri};
use tidecast::Limits;
use tidecast_axum::StreamOptions;
use tracing_subscriber::filter::LevelFilter;

use self::sources::nearest;
pub(crate) use self::{
    access::{AccessConfig, Anonymous, Secret},
    broker::BrokerConfig,
    handle::ConfigHandle,
    options::OPTIONS,
    sources::{Setting, Settings, Source},
    spec::{Kind, OptionSpec, Zero},
};
use crate::{
    auth::pattern::Pattern,
    config::units::{parse_bytes, parse_duration},
    limits::{CONNECTIONS_KEPT, FILES_KEPT, FILES_NEEDED, FILES_NEEDED_PER_CORE, FILES_WARNED_BELOW, REACTORS_MAX},
};

/// What the hub was told.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) access: AccessConfig,
    pub(crate) broker: BrokerConfig,
    pub(crate) streams: StreamOptions,
    pub(crate) limits: Limits,
    pub(crate) header_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) body_timeout: Duration,
    pub(crate) bodies_bytes_max: usize,
    pub(crate) stall_timeout: Duration,
    pub(crate) stop_timeout: Duration,
    /// The limit of open files.
    pub(crate) files_max: usize,
    pub(crate) connections_max: usize,
    /// 0 is no limit.
    pub(crate) connections_per_client_max: usize,
    pub(crate) streams_max: usize,
    /// 0 is no limit.
    pub(crate) streams_per_client_max: usize,
    /// 0 is no limit.
    pub(crate) channels_per_client_max: usize,
    /// 0 is to serve streams without.
    pub(crate) reactors: usize,
    /// 0 is the system's default.
    pub(crate) send_buffer_bytes: usize,
    pub(crate) log_format: LogFormat,
    /// Which log lines are written.
    pub(crate) log_filter: String,
    pub(crate) access_log: bool,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// A JSON object a line.
    Json,
}

impl Config {
    /// Parses what was set, and answers with every mistake in it.
    pub(crate) fn from_settings(settings: &Settings) -> Result<Self, Vec<String>> {
        let mut read = Reader { settings, mistakes: Vec::new() };
        let listen = read.value("listen", parse_address).unwrap_or_else(|| ([127, 0, 0, 1], 0).into());
        let publish_key = read.value("publish_key", parse_key).map(Secret);
        let open_publish = read.value("open_publish", parse_switch).unwrap_or_default();
        let tickets = read.value("tickets", parse_switch).unwrap_or_default();
        let ticket_key = read.value("ticket_key", parse_key).map(Secret);
        let anonymous = read.values("anonymous_subscribe", parse_pattern);
        let anonymous = match settings.find("anonymous_subscribe") {
            None if tickets => Anonymous::Only(Vec::new()),
            None => Anonymous::All,
            // Said in so many words.
            Some(setting) if !tickets && setting.values.iter().any(|text| text == "*") => Anonymous::All,
            Some(_) => Anonymous::Only(anonymous),
        };
        let allowed_hosts = read.values("allowed_hosts", |text| parse_pattern(&text.to_ascii_lowercase()));
        let cors_origins = read.values("cors_origin", parse_origin);
        let broker = BrokerConfig::read(&mut read);
        let keep_alive = read.time("keep_alive");
        let retry = read.value("retry", parse_retry).unwrap_or_default();
        let lifetime = read.time("stream_lifetime");
        let header_timeout = read.time("header_timeout");
        let idle_timeout = read.time("idle_timeout");
        let body_timeout = read.time("body_timeout");
        let bodies_bytes_max = read.size("bodies_bytes");
        let stall_timeout = read.time("stall_timeout");
        let stop_timeout = read.time("stop_timeout");
        let connections_max = read.value("connections_max", parse_count);
        let connections_per_client_max = read.value("connections_per_client_max", parse_count).unwrap_or_default();
        let streams_max = read.value("streams_max", parse_count);
        let streams_per_client_max = read.value("streams_per_client_max", parse_count).unwrap_or_default();
        let channels_per_client_max = read.value("channels_per_client_max", parse_count).unwrap_or_default();
        let reactors = read.value("reactors", parse_reactors);
        let send_buffer_bytes = read.size("send_buffer");
        let limits = Limits {
            log_events_max: read.value("log_events", parse_count).unwrap_or_default(),
            log_bytes_max: read.size("log_bytes"),
            log_age_max: read.time("log_age"),
            logs_bytes_max: read.size("logs_bytes"),
            read_channels_max: read.value("read_channels_max", parse_count).unwrap_or_default(),
            ..Limits::default()
        };
        let log_format = read.value("log_format", parse_log_format).unwrap_or(LogFormat::Text);
        let log_filter = read.value("log", parse_log_filter).unwrap_or_default();
        let access_log = read.value("access_log", parse_switch).unwrap_or_default();

        if publish_key.is_some() && open_publish {
            read.mistakes.push("publish_key and open_publish contradict each other: set one of them".to_owned());
        }
        if tickets && settings.find("publish_key").or(settings.find("ticket_key")).is_none() {
            read.mistakes.push(format!(
                "{}: tickets are signed with what is derived from a key: set --ticket-key KEY (or TIDECAST_TICKET_KEY), or \
                 --publish-key KEY (or TIDECAST_PUBLISH_KEY)",
                settings.origin("tickets")
            ));
        }
        let warnings = Vec::new();
        let mut access = AccessConfig {
            publish_key,
            ticket_key,
            open_publish,
            anonymous,
            allowed_hosts,
            cors_origins,
            ticket_verifier: None,
            warnings,
        };
        access.derive_ticket_verifier();
        read.mistakes.extend(access.check_keys(settings));
        if matches!(broker, BrokerConfig::Redis { .. })
            && access.anonymous == Anonymous::All
            && settings.find("anonymous_subscribe").is_none()
            && access::hears_other_programs(settings)
        {
            access.warnings.push(format!(
                "{}: whoever reaches this hub can read every pub/sub channel of that Redis, also those of other programs; \
                 name the channels that anybody may read by --anonymous-subscribe PATTERN (`*` for all of them)",
                settings.origin("redis")
            ));
        }
        if settings.find("publish_key").is_none() && !open_publish && !listen.ip().is_loopback() {
            read.mistakes.push(format!(
                "{}: {listen} is not a loopback address, so anybody could publish: set --publish-key KEY \
                 (or TIDECAST_PUBLISH_KEY), or say --open-publish",
                settings.origin("listen")
            ));
        }
        if !read.mistakes.is_empty() {
            return Err(read.mistakes);
        }
        let files_max = open_files_max();
        let connections_max = connections_max.unwrap_or_else(|| default_connections(files_max));
        Ok(Self {
            listen,
            access,
            broker,
            streams: StreamOptions::default().keep_alive(keep_alive).retry(retry).lifetime(lifetime),
            limits,
            header_timeout,
            idle_timeout,
            body_timeout,
            bodies_bytes_max,
            stall_timeout,
            stop_timeout,
            files_max,
            connections_max,
            connections_per_client_max,
            streams_max: streams_max.unwrap_or_else(|| default_streams(connections_max)),
            streams_per_client_max,
            channels_per_client_max,
            reactors: reactors.unwrap_or_else(default_reactors),
            send_buffer_bytes,
            log_format,
            log_filter,
            access_log,
        })
    }

    /// Returns what is allowed and hardly meant.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let Self { files_max, connections_max, streams_max, .. } = self;
        let mut warnings = self.broker.warnings();
        warnings.extend(self.access.warnings.iter().cloned());
        if *files_max < FILES_WARNED_BELOW {
            warnings.push(format!(
                "the limit of open files is {files_max}, which leaves {connections_max} connections and {streams_max} \
                 streams: raise it with `ulimit -n` or `LimitNOFILE=`"
            ));
        } else if *connections_max > files_max.saturating_sub(files_needed()) {
            warnings.push(format!(
                "connections_max is {connections_max} and the limit of open files {files_max}: raise that with `ulimit \
                 -n` or `LimitNOFILE=`, or lower connections_max"
            ));
        }
        if streams_max >= connections_max {
            warnings.push(format!(
                "streams_max is {streams_max} and connections_max {connections_max}: streams can take every connection, \
                 and leave none to publish or to ask after the hub's health"
            ));
        }
        warnings
    }

    /// Returns the value of a setting whose default depends on the machine.
    fn worked_out(&self, key: &str) -> Option<usize> {
        match key {
            "connections_max" => Some(self.connections_max),
            "streams_max" => Some(self.streams_max),
            "reactors" => Some(self.reactors),
            _ => None,
        }
    }

    /// Returns why the hub can't serve on this machine, if so.
    pub(crate) fn refusal(&self) -> Option<String> {
        let (files, needed) = (self.files_max, files_needed());
        (files <= needed).then(|| {
            format!(
                "the limit of open files is {files}, and the hub needs more than {needed}: raise it with `ulimit -n`"
            )
        })
    }
}

/// Returns how many files the hub opens for itself.
fn files_needed() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    FILES_NEEDED + FILES_NEEDED_PER_CORE * cores
}

/// Returns how many connections a limit of open files leaves.
fn default_connections(files_max: usize) -> usize {
    files_max.saturating_sub(FILES_KEPT.min(files_max / 4).max(files_needed())).max(1)
}

/// Returns how many of the connections may be streams.
fn default_streams(connections_max: usize) -> usize {
    connections_max.saturating_sub((connections_max / 3).clamp(1, CONNECTIONS_KEPT)).max(1)
}

/// Parses settings, and gathers what can't be parsed.
struct Reader<'a> {
    settings: &'a Settings,
    mistakes: Vec<String>,
}

impl Reader<'_> {
    fn values<T>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let option = OPTIONS.iter().find(|option| option.key == key).expect("only declared options are read");
        let set = self.settings.find(key);
        let default = [option.default.to_owned()];
        let texts = match set {
            Some(setting) => &setting.values[..],
            None if option.default.is_empty() => &[],
            None => &default[..],
        };
        let mut values = Vec::with_capacity(texts.len());
        for text in texts {
            let parsed = match option.zero {
                Zero::Invalid(why) if is_zero(text) => Err(format!("must not be 0: {why}")),
                _ => parse(text),
            };
            match parsed {
                Ok(value) => values.push(value),
                Err(why) => self.mistakes.push(format!("{}: {why}", self.settings.origin(key))),
            }
        }
        values
    }

    fn value<T>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        self.values(key, parse).pop()
    }

    /// A time; zero stands in for one that can't be parsed, as no configuration comes of it then.
    fn time(&mut self, key: &'static str) -> Duration {
        self.value(key, parse_duration).unwrap_or_default()
    }

    fn size(&mut self, key: &'static str) -> usize {
        self.value(key, parse_bytes).unwrap_or_default()
    }
}

fn is_zero(text: &str) -> bool {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    !digits.is_empty() && digits.bytes().all(|byte| byte == b'0')
}

/// Reads an address. A name could be one of several addresses, another one each time; only `localhost` is taken.
fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let local = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let address = local.as_deref().unwrap_or(text).parse();
    address.map_err(|_| format!("{text:?} is not an address: write {}", Kind::Address.written()))
}

/// Reads a key, which must travel as a bearer token and come out the same. It is not shown.
fn parse_key(text: &str) -> Result<String, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the key must be one or more visible ASCII characters, as it travels in a header".to_owned());
    }
    Ok(text.to_owned())
}

fn parse_switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(format!("{text:?} is neither `true` nor `false`")),
    }
}

fn parse_pattern(text: &str) -> Result<Pattern, String> {
    text.parse().map_err(|error| format!("{text:?}: {error}"))
}

fn parse_count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("{text:?} is not a whole number"))
}

/// A number of reactors. Each is a thread, so more than any machine has cores for is a mistake.
fn parse_reactors(text: &str) -> Result<usize, String> {
    match parse_count(text)? {
        some if some > REACTORS_MAX => Err(format!("{text} is more than {REACTORS_MAX}")),
        some if some > 0 && cfg!(not(target_os = "linux")) => Err("there are none on this system: set 0".to_owned()),
        some => Ok(some),
    }
}

/// Half as many as there are cores: what is to be written has to be read, parsed and published first, by as many threads
/// as there are cores. On two cores, with as many readers as publishers can feed, one reactor gives a tenth to a quarter
/// more than two that take turns.
fn default_reactors() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cfg!(target_os = "linux") { (cores / 2).max(1) } else { 0 }
}

fn parse_retry(text: &str) -> Result<Duration, String> {
    let retry = parse_duration(text)?;
    if retry > tidecast::limits::RETRY_MAX {
        return Err(format!("{text} is more than 24h"));
    }
    Ok(retry)
}

fn parse_log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("{text:?} is neither `text` nor `json`")),
    }
}

/// Parses which log lines are written. A word without a level is a target to the filter, which then writes nothing else: a
/// misspelt level would silence the log.
fn parse_log_filter(text: &str) -> Result<String, String> {
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

/// An origin as a browser writes it, and no more than one.
fn parse_origin(text: &str) -> Result<HeaderValue, String> {
    let plain = || {
        let uri: Uri = text.parse().ok()?;
        let (scheme, authority) = (uri.scheme_str()?, uri.authority()?.as_str());
        let plain = text.eq_ignore_ascii_case(&format!("{scheme}://{authority}")) && !authority.contains('@');
        // A browser leaves out the port that goes without saying.
        let text = text.to_ascii_lowercase();
        let default_port = if scheme == "https" { ":443" } else { ":80" };
        let text = text.strip_suffix(default_port).unwrap_or(&text);
        plain.then(|| HeaderValue::from_str(text).ok()).flatten()
    };
    plain().ok_or_else(|| {
        format!("{text:?} is not an origin: write scheme, host and port only, such as http://localhost:5000")
    })
}

/// Raises the limit of open files as far as the system lets, and tells it.
fn open_files_max() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let now = if setrlimit(Resource::Nofile, raised).is_ok() { raised } else { limit };
    now.current.and_then(|files| usize::try_from(files).ok()).unwrap_or(1 << 20)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// As long as a key must be that tickets are signed with.
    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn flags(flags: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::default();
        for (key, value) in flags {
            let option = OPTIONS.iter().find(|option| option.key == *key).expect("a known key");
            settings.add(option, Setting { values: vec![(*value).to_owned()], source: Source::Flag(option.flag()) });
        }
        settings
    }

    #[test]
    fn a_flag_comes_before_a_variable_and_that_before_a_file() {
        let mut settings = flags(&[("keep_alive", "1s")]);
        let variables = [("TIDECAST_KEEP_ALIVE", "2s"), ("TIDECAST_RETRY", "2s"), ("TIDECAST_LOG_AGE", "")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(settings.add_environment(variables, &[]), [""; 0]);
        // Some editors begin a file with a byte order mark.
        let file = "\u{feff}keep_alive = \"3s\"\nretry = \"3s\"\nlog_age = \"3s\"\n";
        assert_eq!(settings.add_file(Path::new("a.toml"), file), [""; 0]);
        let config = Config::from_settings(&settings).unwrap();
        let seconds = Duration::from_secs;
        assert_eq!(config.streams.keep_alive, seconds(1));
        assert_eq!(config.streams.retry, seconds(2));
        assert_eq!(config.limits.log_age_max, seconds(3));
        assert_eq!(config.header_timeout, seconds(10));
    }

    /// The line was shown, with the key in it.
    #[test]
    fn a_file_that_is_not_toml_is_told_without_its_line() {
        for (file, place) in [
            ("listen = \"x\"\npublish_key = s3cret\n", "line 2, column 15: "),
            ("publish_key = \"s3cret\n", "line 1, column "),
            ("publish_key \"s3cret\"\n", "line 1, column "),
            ("# é\nredis = 'redis://:s3cret@h' x\n", "line 2, column "),
        ] {
            let mistakes = Settings::default().add_file(Path::new("a.toml"), file);
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            assert!(mistakes[0].starts_with(&format!("a.toml is not TOML: {place}")), "{mistakes:?}");
            assert!(!mistakes[0].contains("s3cret") && !mistakes[0].contains('\n'), "{mistakes:?}");
        }
    }

    #[test]
    fn every_mistake_is_told_at_once_with_where_it_came_from() {
        let mut settings = flags(&[("listen", "somewhere"), ("log_format", "xml"), ("cors_origin", "http://a/b")]);
        let file = "stall_timeout = 0\nkeep_alvie = \"1s\"\nstreams_max = \"7\"\n";
        let mut mistakes = settings.add_file(Path::new("a.toml"), file);
        let variables = [("TIDECAST_RETRY", "25h"), ("TIDECAST_LISTN", "x"), ("TIDECAST_PORT_8000_TCP", "tcp://x")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(settings.add_environment(variables, &[]), ["TIDECAST_LISTN"]);
        mistakes.extend(Config::from_settings(&settings).unwrap_err());
        for expected in [
            "keep_alvie in a.toml, line 2: there is no such key; did you mean keep_alive?",
            "streams_max in a.toml, line 3: must be a whole number",
            "--listen: \"somewhere\" is not an address",
            "--log-format: \"xml\" is neither",
            "--cors-origin: \"http://a/b\" is not an origin",
            "stall_timeout in a.toml, line 1: must not be 0",
            "TIDECAST_RETRY: 25h is more than 24h",
        ] {
            assert!(mistakes.iter().any(|mistake| mistake.starts_with(expected)), "{expected} in {mistakes:#?}");
        }
        assert_eq!(mistakes.len(), 7, "{mistakes:#?}");
    }

    /// `--log warning` was taken for a target, and silenced the log; `check-config` approved of it.
    #[test]
    fn a_log_filter_is_of_levels_and_known_targets() {
        for right in
            ["warn", "INFO", "off", "3", "info,tidecast_redis=debug", "tidecast::access=info", "warn,hyper=trace"]
        {
            assert!(Config::from_settings(&flags(&[("log", right)])).is_ok(), "{right}");
        }
        for (wrong, part) in [
            ("warning", "\"warning\" is neither a level (error, warn, info, debug, trace, off) nor a target"),
            ("Warning", "; did you mean `warn`?"),
            ("tidecast=debug,err", "; did you mean `error`?"),
            ("loud", "\"loud\" is neither"),
            ("tidecast=loud", "is not a filter"),
        ] {
            let mistakes = Config::from_settings(&flags(&[("log", wrong)])).unwrap_err();
            assert!(
                mistakes.len() == 1 && mistakes[0].starts_with("--log: ") && mistakes[0].contains(part),
                "{mistakes:?}"
            );
        }
    }

    /// A terminal showed a link in Markdown, and not that the file has no sections.
    #[test]
    fn a_value_of_another_shape_is_told_how_to_write_it() {
        let mut settings = Settings::default();
        let file =
            "publish_key = 5\n[redis]\nurl = \"redis://localhost\"\n[keep_alive]\nx = 1\n[server]\nlisten = \"x\"\n";
        let mut mistakes = settings.add_file(Path::new("a.toml"), file);
        mistakes.sort();
        let starts = [
            "keep_alive in a.toml, line 4: is one setting, and the file has no sections: write `keep_alive = …`",
            "publish_key in a.toml, line 1: write it in quotes",
            "redis in a.toml, line 2: is one string, and the file has no sections: write `redis = …`, with `redis://",
            "server in a.toml, line 6: there is no such key; the file has no sections",
        ];
        assert_eq!(mistakes.len(), starts.len(), "{mistakes:#?}");
        for (mistake, start) in mistakes.iter().zip(starts) {
            assert!(mistake.starts_with(start) && !mistake.contains("]("), "{mistake}");
        }
    }

    #[test]
    fn an_address_that_others_reach_needs_a_key_or_a_word() {
        for (key, value) in [("publish_key", "secret"), ("open_publish", "true")] {
            assert!(Config::from_settings(&flags(&[("listen", "192.0.2.1:80"), (key, value)])).is_ok());
        }
        let mistakes = Config::from_settings(&flags(&[("listen", "192.0.2.1:80")])).unwrap_err();
        assert!(mistakes[0].contains("set --publish-key"), "{mistakes:?}");
        let both = flags(&[("publish_key", "secret"), ("open_publish", "true")]);
        assert_eq!(Config::from_settings(&both).unwrap_err().len(), 1);
    }

    #[test]
    fn tickets_need_a_key_to_be_signed_with() {
        for key in ["publish_key", "ticket_key"] {
            let config = Config::from_settings(&flags(&[("tickets", "true"), (key, KEY)])).unwrap();
            assert!(config.access.ticket_verifier.is_some() && config.warnings().is_empty());
        }
        assert!(Config::from_settings(&flags(&[("publish_key", KEY)])).unwrap().access.ticket_verifier.is_none());
        let mistakes = Config::from_settings(&flags(&[("tickets", "true")])).unwrap_err();
        assert!(mistakes.len() == 1 && mistakes[0].starts_with("--tickets: "), "{mistakes:?}");
        // A key that is wrong is one mistake and not two.
        let mistakes = Config::from_settings(&flags(&[("tickets", "true"), ("publish_key", "two words")])).unwrap_err();
        assert!(mistakes.len() == 1 && mistakes[0].starts_with("--publish-key: "), "{mistakes:?}");
    }

    /// A key of one letter was accepted, and found from a ticket in four seconds.
    #[test]
    fn a_short_key_signs_no_tickets() {
        let short = &KEY[1..];
        for settings in [
            &[("tickets", "true"), ("publish_key", short)][..],
            &[("tickets", "true"), ("publish_key", KEY), ("ticket_key", short)],
            &[("anonymous_subscribe", "news"), ("publish_key", short)],
        ] {
            let mistakes = Config::from_settings(&flags(settings)).unwrap_err();
            assert!(mistakes.len() == 1 && mistakes[0].contains("has 31 bytes"), "{mistakes:?}");
            assert!(mistakes[0].contains("openssl rand -hex 32") && !mistakes[0].contains(short), "{mistakes:?}");
        }
        for settings in [
            &[("publish_key", short)][..],
            &[("tickets", "true"), ("ticket_key", KEY), ("publish_key", short)],
            &[("anonymous_subscribe", "*"), ("publish_key", short)],
        ] {
            let warnings = Config::from_settings(&flags(settings)).unwrap().warnings();
            assert!(warnings.len() == 1 && warnings[0].starts_with("--publish-key: "), "{warnings:?}");
        }
    }

    /// Every pub/sub channel of the Redis could be read by whoever reached the hub, and nothing said so.
    #[test]
    fn a_hub_on_redis_whose_channels_are_open_says_so() {
        let warns = |more: &[(&str, &str)]| {
            let settings = [&[("redis", "redis://localhost"), ("publish_key", KEY)], more].concat();
            !Config::from_settings(&flags(&settings)).unwrap().warnings().is_empty()
        };
        assert!(warns(&[]));
        for more in [("anonymous_subscribe", "*"), ("anonymous_subscribe", "news/*"), ("tickets", "true")] {
            assert!(!warns(&[more]), "{more:?}");
        }
        assert!(!warns(&[("redis_compat", "false")]));
        assert!(Config::from_settings(&Settings::default()).unwrap().warnings().is_empty());
    }

    #[test]
    fn a_secret_is_never_shown() {
        let settings = flags(&[("publish_key", "hunter2"), ("redis", "redis://me:hunter2@localhost/1")]);
        let in_force = |settings: &Settings| document::in_force(settings, &Config::from_settings(settings).unwrap());
        let config = Config::from_settings(&settings).unwrap();
        let shown = in_force(&settings);
        assert!(!format!("{config:?}{}{shown}", config.broker).contains("hunter2"));
        assert!(shown.contains("\n#redis = \"redis://me:***@localhost"), "what is masked is no setting: {shown}");
        // One without a password can be taken as it stands.
        let shown = in_force(&flags(&[("redis", "redis://localhost/1")]));
        assert!(shown.contains("\nredis = \"redis://localhost/1\"  # --redis\n"), "{shown}");
    }
}
