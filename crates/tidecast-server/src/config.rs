//! The configuration of the hub: settings from flags, variables and a file, parsed and checked as a whole.
//!
//! [`options`] declares every option, [`sources`] and [`file`] collect the settings, [`reader`] parses them. All errors are
//! reported together, each with the source of the value.

mod access;
mod broker;
pub(crate) mod document;
mod file;
mod flask;
mod handle;
mod machine;
mod options;
mod reader;
mod sources;
mod spec;
pub(crate) mod units;

use std::{net::SocketAddr, time::Duration};

use tidecast::Limits;
use tidecast_axum::StreamOptions;
use tidecast_serve::ServeOptions;

use self::reader::{
    SettingReader, parse_address, parse_count, parse_log_filter, parse_log_format, parse_reactors, parse_retry,
};
pub(crate) use self::{
    access::{AccessConfig, Anonymous, Secret},
    broker::BrokerConfig,
    handle::ConfigHandle,
    options::OPTIONS,
    reader::LogFormat,
    sources::{Setting, SettingSource, Settings},
    spec::{OptionSpec, ValueKind, Zero},
};

/// The configuration of the hub.
///
/// A request reads these fields in its snapshot of [`ConfigHandle`]: `access`, `body_timeout`, `streams_max`,
/// `streams_per_client_max` and `channels_per_client_max`. A connection that publishes reads the three time-outs of requests
/// once, when it begins. All other fields are read once, when the hub starts.
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
    /// 0 is unlimited.
    pub(crate) connections_per_client_max: usize,
    pub(crate) streams_max: usize,
    /// 0 is unlimited.
    pub(crate) streams_per_client_max: usize,
    /// 0 is unlimited.
    pub(crate) channels_per_client_max: usize,
    /// If 0, hyper serves all streams.
    pub(crate) reactors: usize,
    /// 0 is the system's default.
    pub(crate) send_buffer_bytes: usize,
    pub(crate) log_format: LogFormat,
    pub(crate) log_filter: String,
    pub(crate) access_log: bool,
}

impl Config {
    /// Parses the settings.
    ///
    /// # Errors
    ///
    /// Every error in them: those that are not in the file, and then those of the file in the order of its lines.
    pub(crate) fn from_settings(settings: &Settings) -> Result<Self, Vec<String>> {
        let mut reader = SettingReader::new(settings);
        let listen = reader.value("listen", parse_address).unwrap_or_else(|| ([127, 0, 0, 1], 0).into());
        let broker = BrokerConfig::read(&mut reader);
        let access = AccessConfig::read(&mut reader, listen, &broker);
        let files_max = machine::open_files_max();
        let connections_max = reader.value("connections_max", parse_count);
        let connections_max = connections_max.unwrap_or_else(|| machine::default_connections(files_max));
        let streams_max = reader.value("streams_max", parse_count);
        let streams = StreamOptions::default()
            .keep_alive(reader.time("keep_alive"))
            .retry(reader.value("retry", parse_retry).unwrap_or_default())
            .lifetime(reader.time("stream_lifetime"));
        let mut limits = Limits::default();
        limits.log_events_max = reader.count("log_events");
        limits.log_bytes_max = reader.size("log_bytes");
        limits.log_age_max = reader.time("log_age");
        limits.logs_bytes_max = reader.size("logs_bytes");
        limits.read_channels_max = reader.count("read_channels_max");
        let config = Self {
            listen,
            access,
            broker,
            streams,
            limits,
            header_timeout: reader.time("header_timeout"),
            idle_timeout: reader.time("idle_timeout"),
            body_timeout: reader.time("body_timeout"),
            bodies_bytes_max: reader.size("bodies_bytes"),
            stall_timeout: reader.time("stall_timeout"),
            stop_timeout: reader.time("stop_timeout"),
            files_max,
            connections_max,
            connections_per_client_max: reader.count("connections_per_client_max"),
            streams_max: streams_max.unwrap_or_else(|| machine::default_streams(connections_max)),
            streams_per_client_max: reader.count("streams_per_client_max"),
            channels_per_client_max: reader.count("channels_per_client_max"),
            reactors: reader.value("reactors", parse_reactors).unwrap_or_else(machine::default_reactors),
            send_buffer_bytes: reader.size("send_buffer"),
            log_format: reader.value("log_format", parse_log_format).unwrap_or(LogFormat::Text),
            log_filter: reader.value("log", parse_log_filter).unwrap_or_default(),
            access_log: reader.switch("access_log"),
        };
        let mut errors = reader.errors;
        errors.sort_by_key(|error| error.line);
        if errors.is_empty() { Ok(config) } else { Err(errors.into_iter().map(|error| error.text).collect()) }
    }

    /// Returns warnings about valid settings that are probably not intended.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = self.broker.warnings();
        warnings.extend(self.access.warnings.iter().cloned());
        warnings.extend(machine::warnings(self.files_max, self.connections_max, self.streams_max));
        warnings
    }

    /// Returns why the hub cannot run on this machine, if so.
    pub(crate) fn obstacle(&self) -> Option<String> {
        machine::too_few_files(self.files_max)
    }

    /// Returns how connections are accepted, limited and served.
    pub(crate) fn serve_options(&self) -> ServeOptions {
        let mut options = ServeOptions::default();
        options.connections_max = self.connections_max;
        options.connections_per_client_max = self.connections_per_client_max;
        options.header_timeout = self.header_timeout;
        options.idle_timeout = self.idle_timeout;
        options.stall_timeout = self.stall_timeout;
        options.stop_timeout = self.stop_timeout;
        options.send_buffer_bytes = self.send_buffer_bytes;
        options.reactors = self.reactors;
        options.streams = self.streams.clone();
        options
    }

    /// Returns the value of a setting whose default depends on the machine.
    fn computed(&self, key: &str) -> Option<usize> {
        match key {
            "connections_max" => Some(self.connections_max),
            "streams_max" => Some(self.streams_max),
            "reactors" => Some(self.reactors),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn variables<const N: usize>(variables: [(&str, &str); N]) -> [(String, String); N] {
        variables.map(|(name, value)| (name.to_owned(), value.to_owned()))
    }

    #[test]
    fn a_flag_takes_precedence_over_a_variable_and_that_over_a_file() {
        let mut settings = Settings::of_flags(&[("keep_alive", "1s")]);
        let environment =
            variables([("TIDECAST_KEEP_ALIVE", "2s"), ("TIDECAST_RETRY", "2s"), ("TIDECAST_LOG_AGE", "")]);
        assert_eq!(settings.add_environment(environment, &[]), [""; 0]);
        // Some editors begin a file with a byte order mark.
        let file = "\u{feff}keep_alive = \"3s\"\nretry = \"3s\"\nlog_age = \"3s\"\n";
        settings.add_file(Path::new("a.toml"), file);
        let config = Config::from_settings(&settings).unwrap();
        let seconds = Duration::from_secs;
        assert_eq!(config.streams.keep_alive, seconds(1));
        assert_eq!(config.streams.retry, seconds(2));
        assert_eq!(config.limits.log_age_max, seconds(3));
        assert_eq!(config.header_timeout, seconds(10));
    }

    #[test]
    fn every_error_is_reported_with_its_source() {
        let mut settings =
            Settings::of_flags(&[("listen", "somewhere"), ("log_format", "xml"), ("cors_origin", "http://a/b")]);
        let file = "stall_timeout = 0\nkeep_alvie = \"1s\"\nstreams_max = \"7\"\n";
        settings.add_file(Path::new("a.toml"), file);
        let environment =
            variables([("TIDECAST_RETRY", "25h"), ("TIDECAST_LISTN", "x"), ("TIDECAST_PORT_8000_TCP", "tcp://x")]);
        assert_eq!(settings.add_environment(environment, &[]), ["TIDECAST_LISTN"]);
        let errors = Config::from_settings(&settings).unwrap_err();
        for expected in [
            "keep_alvie in a.toml, line 2: there is no such key; did you mean keep_alive?",
            "streams_max in a.toml, line 3: is \"7\", and must be a whole number",
            "--listen: \"somewhere\" is not an address",
            "--log-format: \"xml\" is neither",
            "--cors-origin: \"http://a/b\" is not an origin",
            "stall_timeout in a.toml, line 1: must not be 0",
            "TIDECAST_RETRY: 25h is more than 24h",
        ] {
            assert!(errors.iter().any(|error| error.starts_with(expected)), "{expected} in {errors:#?}");
        }
        assert_eq!(errors.len(), 7, "{errors:#?}");
    }
}
