//! How connections are accepted, limited and served.

use std::{io, time::Duration};

use tidecast_axum::StreamOptions;

use crate::limits::REACTORS_MAX;

/// How connections are accepted, limited and served.
///
/// The defaults suit a program on its own machine. Each connection is an open file, so `connections_max` should stay
/// below the process's limit of open files.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServeOptions {
    /// Most connections at one time, at least 1. Default 10,000. When it is reached, the connection that has been idle for
    /// longest is closed for the next one; while none is idle, new connections wait.
    pub connections_max: usize,
    /// Most connections of one [client](crate::client_network). Default 0, which is no limit. When it is reached, further
    /// connections of that client are closed at once.
    pub connections_per_client_max: usize,
    /// How long the head of a request may take, from its first byte; for the first request of a connection, from its
    /// accept. More than zero, default 10 s.
    pub header_timeout: Duration,
    /// How long a connection may wait between a response and the next request. More than zero, default 2 min.
    pub idle_timeout: Duration,
    /// How long a client may take none of the bytes that wait for it, and how long it may take all of them after its
    /// stream's lifetime, before its connection is cut. More than zero, default 30 s.
    pub stall_timeout: Duration,
    /// How long open streams and requests may take to end when the server stops. Default 5 s; zero cuts them at once.
    pub stop_timeout: Duration,
    /// Size in bytes of the kernel's buffer for what a connection has yet to send. Default 128 KiB; zero is the system's
    /// default.
    pub send_buffer_bytes: usize,
    /// Threads that write to idle streams, at most [`REACTORS_MAX`]. Default 1 on Linux; elsewhere 0, the only value there.
    /// Zero serves streams as ordinary responses, which takes far more memory.
    pub reactors: usize,
    /// Keep-alive comments, reconnection times and the lifetime of the streams that reactors serve.
    pub streams: StreamOptions,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            connections_per_client_max: 0,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            stall_timeout: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(5),
            send_buffer_bytes: 128 * 1024,
            reactors: usize::from(cfg!(target_os = "linux")),
            streams: StreamOptions::default(),
        }
    }
}

impl ServeOptions {
    /// Checks the ranges of all options.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput), with the name and the value of the first option that is out of its
    /// range.
    pub fn validate(&self) -> io::Result<()> {
        let invalid = |text: String| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        if self.connections_max == 0 {
            return invalid("connections_max is 0: it must be at least 1".to_owned());
        }
        for (name, timeout) in [
            ("header_timeout", self.header_timeout),
            ("idle_timeout", self.idle_timeout),
            ("stall_timeout", self.stall_timeout),
        ] {
            if timeout.is_zero() {
                return invalid(format!("{name} is zero: it must be longer"));
            }
        }
        let reactors_max = if cfg!(target_os = "linux") { REACTORS_MAX } else { 0 };
        if self.reactors > reactors_max {
            return invalid(format!("reactors is {}: it must be at most {reactors_max}", self.reactors));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_out_of_its_range_is_named_with_its_value() {
        ServeOptions::default().validate().unwrap();
        let none = Duration::ZERO;
        for (options, name) in [
            (ServeOptions { connections_max: 0, ..ServeOptions::default() }, "connections_max is 0"),
            (ServeOptions { header_timeout: none, ..ServeOptions::default() }, "header_timeout is zero"),
            (ServeOptions { idle_timeout: none, ..ServeOptions::default() }, "idle_timeout is zero"),
            (ServeOptions { stall_timeout: none, ..ServeOptions::default() }, "stall_timeout is zero"),
            (ServeOptions { reactors: REACTORS_MAX + 1, ..ServeOptions::default() }, "reactors is 1025"),
        ] {
            let error = options.validate().unwrap_err().to_string();
            assert!(error.starts_with(name), "{error}");
        }
    }
}
