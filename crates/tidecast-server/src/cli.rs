//! The command line.

use std::{net::SocketAddr, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum, builder::BoolishValueParser};
use tidecast::Limits;

use crate::units::{parse_bytes, parse_duration, write_bytes, write_duration};

/// Pushes events to browsers over server-sent events.
#[derive(Debug, Parser)]
#[command(version, about, long_about = None, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the hub (also what no command at all does)
    Serve(ServeArguments),
}

/// What `serve` takes. Durations are `500ms`, `15s`, `5m`, `2h` or `0`; sizes are bytes, `64KiB`, `8MiB` or `1GiB`.
#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// Address and port to listen on; port 0 is any that is free
    #[arg(long, env = "TIDECAST_LISTEN", default_value = "127.0.0.1:8000", value_parser = parse_address, value_name = "ADDR:PORT")]
    pub(crate) listen: SocketAddr,

    /// Key that publishers send as `Authorization: Bearer KEY`; needed to listen on any other than a loopback address
    #[arg(long, env = "TIDECAST_PUBLISH_KEY", value_name = "KEY", hide_env_values = true)]
    pub(crate) publish_key: Option<String>,

    /// Let anybody who reaches the address publish
    #[arg(long, env = "TIDECAST_OPEN_PUBLISH", value_parser = BoolishValueParser::new())]
    pub(crate) open_publish: bool,

    /// Origin whose pages may read streams and publish, such as `http://localhost:5000`; may be repeated
    #[arg(long = "cors-origin", env = "TIDECAST_CORS_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    pub(crate) cors_origins: Vec<String>,

    /// After how long without an event a stream gets a comment; 0 is never
    #[arg(long, env = "TIDECAST_KEEP_ALIVE", default_value = "15s", value_parser = parse_duration, value_name = "TIME")]
    pub(crate) keep_alive: Duration,

    /// How long browsers wait before they connect again; 0 is at once
    #[arg(long, env = "TIDECAST_RETRY", default_value = "3s", value_parser = parse_duration, value_name = "TIME")]
    pub(crate) retry: Duration,

    /// How long a request's head may take to arrive
    #[arg(long, env = "TIDECAST_HEADER_TIMEOUT", default_value = "10s", value_parser = parse_duration, value_name = "TIME")]
    pub(crate) header_timeout: Duration,

    /// How long a request's body may take to arrive
    #[arg(long, env = "TIDECAST_BODY_TIMEOUT", default_value = "30s", value_parser = parse_duration, value_name = "TIME")]
    pub(crate) body_timeout: Duration,

    /// After how long a connection is cut that takes nothing of what is waiting for it
    #[arg(long, env = "TIDECAST_STALL_TIMEOUT", default_value = "30s", value_parser = parse_duration, value_name = "TIME")]
    pub(crate) stall_timeout: Duration,

    /// How long streams are given to end when the hub stops
    #[arg(long, env = "TIDECAST_STOP_TIMEOUT", default_value = "5s", value_parser = parse_duration, value_name = "TIME")]
    pub(crate) stop_timeout: Duration,

    /// Most connections; at it no more are accepted [default: the limit of open files less 256]
    #[arg(long, env = "TIDECAST_CONNECTIONS_MAX", value_name = "N")]
    pub(crate) connections_max: Option<usize>,

    /// Most streams; at it a browser is told to come back [default: the limit of open files less 512]
    #[arg(long, env = "TIDECAST_STREAMS_MAX", value_name = "N")]
    pub(crate) streams_max: Option<usize>,

    /// Most streams of one client's address; 0 is no limit
    #[arg(long, env = "TIDECAST_STREAMS_PER_CLIENT_MAX", default_value_t = 0, value_name = "N")]
    pub(crate) streams_per_client_max: usize,

    /// Kernel memory for what one connection has yet to send; 0 is the system's default
    #[arg(long, env = "TIDECAST_SEND_BUFFER", default_value = "128KiB", value_parser = parse_bytes, value_name = "SIZE")]
    pub(crate) send_buffer: usize,

    /// Most events that a channel keeps for those who come back
    #[arg(long, env = "TIDECAST_LOG_EVENTS", default_value_t = Limits::default().log_events_max, value_name = "N")]
    pub(crate) log_events: usize,

    /// Most bytes that a channel keeps
    #[arg(long, env = "TIDECAST_LOG_BYTES", default_value = write_bytes(Limits::default().log_bytes_max), value_parser = parse_bytes, value_name = "SIZE")]
    pub(crate) log_bytes: usize,

    /// How long a channel keeps an event
    #[arg(long, env = "TIDECAST_LOG_AGE", default_value = write_duration(Limits::default().log_age_max), value_parser = parse_duration, value_name = "TIME")]
    pub(crate) log_age: Duration,

    /// Most memory of what all channels keep
    #[arg(long, env = "TIDECAST_LOGS_BYTES", default_value = write_bytes(Limits::default().logs_bytes_max), value_parser = parse_bytes, value_name = "SIZE")]
    pub(crate) logs_bytes: usize,

    /// How log lines are written to standard error; `TIDECAST_LOG` chooses which, such as `debug`
    #[arg(long, env = "TIDECAST_LOG_FORMAT", value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    #[default]
    Text,
    /// A JSON object a line
    Json,
}

/// Reads an address. A name would be one of several addresses at another time, so only `localhost` is taken.
fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let local = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    local
        .as_deref()
        .unwrap_or(text)
        .parse()
        .map_err(|_| "write an IP address and a port, such as 127.0.0.1:8000 or [::1]:8000".to_owned())
}

/// Reads the command line; without a command it is `serve` with its defaults and the environment.
pub(crate) fn parse() -> Result<ServeArguments, clap::Error> {
    let command = Cli::try_parse()?.command;
    let command = match command {
        Some(command) => command,
        None => Cli::try_parse_from(["tidecast", "serve"])?.command.expect("a command was given"),
    };
    let Command::Serve(arguments) = command;
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_is_declared_without_contradictions() {
        Cli::command().debug_assert();
    }
}
