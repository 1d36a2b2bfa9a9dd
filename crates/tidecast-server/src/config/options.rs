//! Every option of `tidecast serve`, declared once.
//!
//! The flag, the environment variable, the key in a file, `--help`, the reference page and the sample file all come from
//! these declarations; tests compare the documents in the repository with them.

use super::spec::{OptionSpec, ValueKind};

const fn option(key: &'static str, kind: ValueKind, doc: &'static str) -> OptionSpec {
    OptionSpec::new(key, kind, doc)
}

/// Returns the option with a key.
pub(crate) fn find(key: &str) -> Option<&'static OptionSpec> {
    OPTIONS.iter().find(|option| option.key == key)
}

/// The options, in the order in which they are shown.
pub(crate) const OPTIONS: &[OptionSpec] = &[
    option("listen", ValueKind::Address, "Address and port to listen on")
        .default("127.0.0.1:8000")
        .zero("port 0 picks a free port"),
    option(
        "publish_key",
        ValueKind::Secret,
        "Key that publishers send as `Authorization: Bearer KEY`. It is required on any address that is not a loopback \
         address, unless `open_publish` is set. It does not protect reading; `tickets` does. The list of processes shows \
         flags, so prefer the variable",
    ),
    option("open_publish", ValueKind::Switch, "Let every client that reaches the address publish").default("false"),
    option(
        "tickets",
        ValueKind::Switch,
        "Require a signed ticket, or the publish key, to open a stream; `anonymous_subscribe` names exceptions. The \
         application signs tickets with a key derived from `ticket_key`, or from `publish_key` if that is not set. That \
         secret must have at least 32 bytes (`openssl rand -hex 32` prints one)",
    )
    .default("false"),
    option(
        "ticket_key",
        ValueKind::Secret,
        "Key that tickets are signed with, so that a program that signs them need not be able to publish; at least 32 \
         bytes. The list of processes shows flags, so prefer the variable",
    )
    .default_note("`publish_key`"),
    option(
        "anonymous_subscribe",
        ValueKind::Patterns,
        "Channels whose streams need neither a ticket nor the publish key. With Redis, a stream can name any pub/sub \
         channel of that Redis, also one of another program",
    )
    .default_note("`*`, which is every channel; with `tickets`, none"),
    option(
        "allowed_hosts",
        ValueKind::Hosts,
        "Values of the `Host` header that the hub answers to, besides `localhost` and loopback addresses; other requests \
         are refused. This stops pages that reach the hub by a DNS name of their own (DNS rebinding). `/healthz` and \
         `/readyz` answer to every host",
    )
    .default_note("every host; without a key on a loopback address, only the names of this machine"),
    option("cors_origin", ValueKind::Origins, "Origin whose pages may read streams and publish"),
    option(
        "redis",
        ValueKind::Redis,
        "Redis that carries the events, so that any number of hubs share their channels. The list of processes shows \
         flags, so prefer the variable if the URL has a password",
    )
    .default_note(
        "the value of `SSE_REDIS_URL`, else `REDIS_URL`, else a URL made of `SSE_REDIS_HOST`, `SSE_REDIS_PORT` and \
         `SSE_REDIS_DB`; if none is set, events are kept in memory",
    ),
    option(
        "redis_prefix",
        ValueKind::Prefix,
        "Prefix of all keys on Redis. Hubs with different prefixes do not share channels",
    )
    .default("tidecast"),
    option(
        "redis_compat",
        ValueKind::Truth,
        "Publish to the Redis channel of the same name, as Flask-SSE does, and deliver what other programs publish there. \
         If false, use Redis channels that only hubs with the same prefix know",
    )
    .default("true"),
    option(
        "redis_plain_format",
        ValueKind::Choice(&["object", "array"]),
        "Format of the messages on the Redis channel of the same name: the object that Flask-SSE from PyPI reads, or the \
         array that the older extension reads",
    )
    .default("object"),
    option(
        "redis_history_events",
        ValueKind::Count,
        "Maximum number of events of a channel that Redis keeps for clients that reconnect",
    )
    .default("10000")
    .zero("no history; a client that reconnects gets what its hub has in memory"),
    option("redis_history_age", ValueKind::Time, "How long Redis keeps an event").default("1h").zero("no history"),
    option("redis_idle_age", ValueKind::Time, "How long Redis keeps the position of a channel after its last event")
        .default("24h")
        .zero("as long as its events"),
    option(
        "redis_connect_timeout",
        ValueKind::Time,
        "Maximum time to connect to Redis. The URL can set it too, as `socket_connect_timeout`",
    )
    .default("5s")
    .not_zero("no connection could ever be made"),
    option(
        "redis_command_timeout",
        ValueKind::Time,
        "Maximum time for Redis to answer a command. The URL can set it too, as `socket_timeout`",
    )
    .default("5s")
    .not_zero("no event could ever be published"),
    option(
        "redis_probe_interval",
        ValueKind::Time,
        "Time without a message after which the hub probes its pub/sub connection. The URL can set it too, as \
         `health_check_interval`",
    )
    .default("15s")
    .zero("never"),
    option("redis_probe_timeout", ValueKind::Time, "Time that a probe waits before the connection counts as lost")
        .default("5s")
        .not_zero("every probe would fail"),
    option("redis_compare_interval", ValueKind::Time, "Interval at which channels without new events are compared with Redis")
        .default("30s")
        .zero("never"),
    option(
        "keep_alive",
        ValueKind::Time,
        "Time without an event after which a stream gets a comment. Clients on the JVM take 5 to 10 s of silence for a \
         lost connection",
    )
    .default("8s")
    .zero("never"),
    option("retry", ValueKind::Time, "Time that browsers wait before they reconnect; at most 24h").default("3s").zero("at once"),
    option(
        "stream_lifetime",
        ValueKind::Time,
        "Maximum lifetime of a stream: each ends after 80 to 100 % of it, and its browser reconnects and resumes",
    )
    .default("0")
    .zero("unlimited"),
    option(
        "header_timeout",
        ValueKind::Time,
        "Maximum time for the head of a request to arrive, from its first byte; for the first request of a connection, \
         from when the connection was accepted",
    )
    .default("10s")
    .not_zero("no request could ever arrive"),
    option(
        "idle_timeout",
        ValueKind::Time,
        "Time that a connection is kept open between two requests. It should be longer than the pools of clients and \
         proxies keep connections (Go 90 s, nginx 60 s), so that none sends a request while the hub closes",
    )
    .default("2m")
    .not_zero("no connection could be used for a second request"),
    option("body_timeout", ValueKind::Time, "Maximum time for the body of a request to arrive")
        .default("30s")
        .not_zero("no event could ever arrive"),
    option(
        "bodies_bytes",
        ValueKind::Size,
        "Memory for all request bodies that arrive in more than one piece. If it is full, a publish gets 503",
    )
    .default("64MiB")
    .zero("only bodies that arrive in one piece are accepted"),
    option("stall_timeout", ValueKind::Time, "Time after which a connection that takes none of its pending bytes is cut")
        .default("30s")
        .not_zero("no connection could ever be served"),
    option("stop_timeout", ValueKind::Time, "Time that streams have to end when the hub stops")
        .default("5s")
        .zero("streams are cut at once"),
    option(
        "connections_max",
        ValueKind::Count,
        "Maximum number of connections. At the maximum, the connection that has been idle longest is closed for a new one",
    )
    .default_note("the limit of open files less 256, or three quarters of a small limit")
    .not_zero("no client could connect"),
    option(
        "connections_per_client_max",
        ValueKind::Count,
        "Maximum number of connections of one client address (IPv6: one /64 network); further ones are closed at once. \
         Behind a proxy all clients have its address: leave it at 0 there",
    )
    .default("0")
    .zero("unlimited"),
    option(
        "streams_max",
        ValueKind::Count,
        "Maximum number of streams. At the maximum, a browser is told to reconnect after 5 to 30 s",
    )
    .default_note("`connections_max` less 256, or two thirds of a small number")
    .zero("no streams at all"),
    option(
        "streams_per_client_max",
        ValueKind::Count,
        "Maximum number of streams of one client address (IPv6: one /64 network). At the maximum, a browser is told to \
         reconnect after 5 to 30 s",
    )
    .default("0")
    .zero("unlimited"),
    option(
        "channels_per_client_max",
        ValueKind::Count,
        "Maximum number of channels that all streams of one client address (IPv6: one /64 network) read together; a \
         channel counts once for each stream. At the maximum, a browser is told to reconnect after 5 to 30 s",
    )
    .default("0")
    .zero("unlimited"),
    option("reactors", ValueKind::Count, "Number of threads that write to the streams; at most 1024")
        .default_note("half the number of cores, at least 1; 0 on systems other than Linux")
        .zero("streams are served as ordinary responses, which takes far more memory"),
    option("send_buffer", ValueKind::Size, "Kernel memory for the bytes that one connection has yet to send")
        .default("128KiB")
        .zero("the system's default"),
    option("log_events", ValueKind::Count, "Maximum number of events that a channel keeps for clients that reconnect")
        .default("10000")
        .zero("only the newest event"),
    option("log_bytes", ValueKind::Size, "Maximum number of bytes that a channel keeps").default("8MiB").zero("only the newest event"),
    option("log_age", ValueKind::Time, "How long a channel keeps an event")
        .default("5m")
        .zero("until the next event or the next second; a slower reader is told `too-slow`"),
    option(
        "logs_bytes",
        ValueKind::Size,
        "Maximum memory of all channels' events. At the maximum, the channels with the oldest last events lose theirs. \
         A channel with readers keeps the events of the last 5 s regardless, up to `log_bytes`",
    )
    .default("256MiB")
    .zero("only events that readers may not have received yet are kept"),
    option(
        "read_channels_max",
        ValueKind::Count,
        "Maximum number of channels without any event that have readers. A client that asks for a further one is told to \
         reconnect later",
    )
    .default("250000")
    .zero("only channels that had an event can be read"),
    option("log_format", ValueKind::Choice(&["text", "json"]), "Format of the log lines on standard error").default("text"),
    option(
        "log",
        ValueKind::Text,
        "Log lines to write: a level (`error`, `warn`, `info`, `debug`, `trace` or `off`), or levels by target, such as \
         `info,tidecast_redis=debug`; `tidecast::access=info` alone writes only the access log",
    )
    .default("info"),
    option(
        "access_log",
        ValueKind::Switch,
        "Log a line for each request: client, method, path without the query, status, bytes and duration. A stream has \
         one when it is opened and one when it ends. The target is `tidecast::access`",
    )
    .default("false"),
];
