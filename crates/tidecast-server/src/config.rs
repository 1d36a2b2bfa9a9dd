//! What the hub was told, checked as a whole: every mistake is reported at once.

use std::{net::SocketAddr, ops::RangeInclusive, time::Duration};

use http::{HeaderValue, Uri};
use tidecast::Limits;
use tidecast_axum::StreamOptions;

use crate::cli::{LogFormat, ServeArguments};

/// Open files that are no client's connection: the listener, the runtime's own, logs.
const FILES_KEPT: usize = 256;

/// Connections that are no stream, so that there is always room to publish and to look.
const CONNECTIONS_KEPT: usize = 256;

/// How long a browser is told to wait where what it met will pass; drawn, so that not all come back in one moment.
pub(crate) const COME_BACK_IN: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(30);

/// Longest body of a request, in bytes. A longer one is a 413.
pub(crate) const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// How much of a body that was refused is still read, so that its sender gets to see the answer.
pub(crate) const REFUSED_BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Most events of one publish.
pub(crate) const BATCH_MAX: usize = 1_000;

/// Most channels of one page of `/channels`.
pub(crate) const PAGE_MAX: usize = 1_000;

/// How many connections may wait to be accepted: with the usual 128 a burst has some retry after a second.
pub(crate) const BACKLOG: i32 = 4_096;

/// How long the kernel tries to reach a client that does not answer.
pub(crate) const USER_TIMEOUT: Duration = Duration::from_secs(45);

/// What hyper keeps at most to read or to write for one connection.
pub(crate) const CONNECTION_BUFFER_BYTES: usize = 64 * 1024;

/// What the hub was told.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) access: AccessConfig,
    pub(crate) streams: StreamOptions,
    pub(crate) limits: Limits,
    pub(crate) header_timeout: Duration,
    pub(crate) body_timeout: Duration,
    pub(crate) stall_timeout: Duration,
    pub(crate) stop_timeout: Duration,
    pub(crate) connections_max: usize,
    pub(crate) streams_max: usize,
    /// 0 is no limit.
    pub(crate) streams_per_client_max: usize,
    /// 0 is the system's default.
    pub(crate) send_buffer_bytes: usize,
    pub(crate) log_format: LogFormat,
}

/// Who may do what.
#[derive(Debug, Clone)]
pub(crate) struct AccessConfig {
    pub(crate) publish_key: Option<PublishKey>,
    pub(crate) open_publish: bool,
    pub(crate) cors_origins: Vec<HeaderValue>,
}

/// A secret. It is never written, not even for debugging.
#[derive(Clone)]
pub(crate) struct PublishKey(String);

impl PublishKey {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl std::fmt::Debug for PublishKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PublishKey(…)")
    }
}

impl Config {
    /// Checks the arguments, and answers with every mistake in them.
    pub(crate) fn from_arguments(arguments: ServeArguments) -> Result<Self, Vec<String>> {
        let mut mistakes = Vec::new();
        let publish_key = arguments.publish_key.map(PublishKey);
        if publish_key.as_ref().is_some_and(|key| !is_token(key.as_bytes())) {
            mistakes.push(
                "--publish-key must be one or more visible ASCII characters, as it travels in a header".to_owned(),
            );
        }
        if publish_key.is_some() && arguments.open_publish {
            mistakes.push("--publish-key and --open-publish contradict each other: give one of them".to_owned());
        }
        if publish_key.is_none() && !arguments.open_publish && !arguments.listen.ip().is_loopback() {
            mistakes.push(format!(
                "--listen {} is not a loopback address, so anybody could publish: set --publish-key KEY \
                 (or TIDECAST_PUBLISH_KEY), or say --open-publish",
                arguments.listen
            ));
        }
        let mut cors_origins = Vec::new();
        for origin in arguments.cors_origins {
            match parse_origin(&origin) {
                Some(origin) => cors_origins.push(origin),
                None => mistakes.push(format!(
                    "--cors-origin {origin:?} is no origin: write scheme, host and port only, such as http://localhost:5000"
                )),
            }
        }
        for (name, time) in [
            ("--header-timeout", arguments.header_timeout),
            ("--body-timeout", arguments.body_timeout),
            ("--stall-timeout", arguments.stall_timeout),
        ] {
            if time.is_zero() {
                mistakes.push(format!("{name} must not be 0: no connection could ever be served"));
            }
        }
        if arguments.retry > tidecast::limits::RETRY_MAX {
            mistakes.push("--retry must not be more than 24h".to_owned());
        }
        let files = open_files_max();
        let connections_max = arguments.connections_max.unwrap_or_else(|| files.saturating_sub(FILES_KEPT).max(1));
        if connections_max == 0 {
            mistakes.push("--connections-max must not be 0: nobody could connect".to_owned());
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }

        Ok(Self {
            listen: arguments.listen,
            access: AccessConfig { publish_key, open_publish: arguments.open_publish, cors_origins },
            streams: StreamOptions {
                keep_alive: arguments.keep_alive,
                retry: arguments.retry,
                ..StreamOptions::default()
            },
            limits: Limits {
                log_events_max: arguments.log_events,
                log_bytes_max: arguments.log_bytes,
                log_age_max: arguments.log_age,
                logs_bytes_max: arguments.logs_bytes,
                ..Limits::default()
            },
            header_timeout: arguments.header_timeout,
            body_timeout: arguments.body_timeout,
            stall_timeout: arguments.stall_timeout,
            stop_timeout: arguments.stop_timeout,
            connections_max,
            streams_max: arguments
                .streams_max
                .unwrap_or_else(|| files.saturating_sub(FILES_KEPT + CONNECTIONS_KEPT).max(1)),
            streams_per_client_max: arguments.streams_per_client_max,
            send_buffer_bytes: arguments.send_buffer,
            log_format: arguments.log_format,
        })
    }
}

/// Raises the limit of open files as far as the system lets, and tells it.
fn open_files_max() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let now = if setrlimit(Resource::Nofile, raised).is_ok() { raised } else { limit };
    now.current.and_then(|files| usize::try_from(files).ok()).unwrap_or(1 << 20)
}

/// Whether a key can travel as a bearer token and come out the same.
fn is_token(key: &[u8]) -> bool {
    !key.is_empty() && key.iter().all(u8::is_ascii_graphic)
}

/// An origin as a browser writes it, or nothing if it is more or less than one.
fn parse_origin(text: &str) -> Option<HeaderValue> {
    let uri: Uri = text.parse().ok()?;
    let scheme = uri.scheme_str()?;
    let authority = uri.authority()?.as_str();
    let plain = text.eq_ignore_ascii_case(&format!("{scheme}://{authority}")) && !authority.contains('@');
    plain.then(|| HeaderValue::from_str(&text.to_ascii_lowercase()).ok()).flatten()
}
