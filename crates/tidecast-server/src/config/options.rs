//! Every option of `tidecast serve`, declared once.
//!
//! The flag, the environment variable, the key in a file, `--help`, the reference page and the sample file all come from
//! here; a test fails when one of them differs.

use super::spec::{Kind, OptionSpec, Zero};

const PLAIN: OptionSpec =
    OptionSpec { key: "", kind: Kind::Count, default: "", default_note: "", zero: Zero::Plain, doc: "" };

/// The options, in the order in which they are shown.
pub(crate) const OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        key: "listen",
        kind: Kind::Address,
        default: "127.0.0.1:8000",
        zero: Zero::Means("port 0 is any that is free"),
        doc: "Address and port to listen on",
        ..PLAIN
    },
    OptionSpec {
        key: "publish_key",
        kind: Kind::Secret,
        doc: "Key that publishers send as `Authorization: Bearer KEY`; needed to listen on any other than a loopback \
              address. It does not protect reading, which `tickets` does. A flag shows in the list of processes: \
              prefer the variable",
        ..PLAIN
    },
    OptionSpec {
        key: "open_publish",
        kind: Kind::Switch,
        default: "false",
        doc: "Let anybody who reaches the address publish",
        ..PLAIN
    },
    OptionSpec {
        key: "tickets",
        kind: Kind::Switch,
        default: "false",
        doc: "Require a signed ticket, or the publish key, to open a stream; `anonymous_subscribe` names exceptions. Tickets \
              are signed by the application with what it derives from `ticket_key`, or from `publish_key` if that is not \
              set; the one used must have at least 32 bytes (`openssl rand -hex 32` prints such a key)",
        ..PLAIN
    },
    OptionSpec {
        key: "ticket_key",
        kind: Kind::Secret,
        default_note: "`publish_key`",
        doc: "Key that tickets are signed with, so that a program that signs them need not be able to publish; at least 32 \
              bytes. A flag shows in the list of processes: prefer the variable",
        ..PLAIN
    },
    OptionSpec {
        key: "anonymous_subscribe",
        kind: Kind::Patterns,
        default_note: "`*`, which is every channel; with `tickets`, none",
        doc: "Channels whose streams are opened without a ticket or the publish key. With Redis, every pub/sub channel of it \
              can be asked for, also those of other programs",
        ..PLAIN
    },
    OptionSpec {
        key: "allowed_hosts",
        kind: Kind::Hosts,
        default_note: "any; without a key, on a loopback address, the names of this machine only",
        doc: "Hosts by which the hub is asked, as the `Host` header has them, besides `localhost` and loopback addresses; \
              requests with another one are refused. A guard against pages that reach the hub by a name of their own \
              (DNS rebinding). `/healthz` and `/readyz` answer to any",
        ..PLAIN
    },
    OptionSpec {
        key: "cors_origin",
        kind: Kind::Origins,
        doc: "Origin whose pages may read streams and publish",
        ..PLAIN
    },
    OptionSpec {
        key: "redis",
        kind: Kind::Redis,
        default_note: "what `SSE_REDIS_URL`, then `REDIS_URL`, then `SSE_REDIS_HOST`, `SSE_REDIS_PORT` and `SSE_REDIS_DB` \
                       say; without any of them events are kept in memory",
        doc: "Redis that carries the events, so that any number of hubs share their channels. A flag shows in the list of \
              processes: prefer the variable where there is a password",
        ..PLAIN
    },
    OptionSpec {
        key: "redis_prefix",
        kind: Kind::Prefix,
        default: "tidecast",
        doc: "What the names of all keys on Redis begin with; hubs with different ones don't share their channels",
        ..PLAIN
    },
    OptionSpec {
        key: "redis_compat",
        kind: Kind::Truth,
        default: "true",
        doc: "Publish to the channels of that name on Redis, as Flask-SSE does, and hear what is published there; without, \
              to channels that only hubs of the same prefix know",
        ..PLAIN
    },
    OptionSpec {
        key: "redis_plain_format",
        kind: Kind::Choice(&["object", "array"]),
        default: "object",
        doc: "What is published to the channels of that name: the object that Flask-SSE of PyPI reads, or the array that \
              the older extension reads",
        ..PLAIN
    },
    OptionSpec {
        key: "redis_history_events",
        default: "10000",
        zero: Zero::Means("no history: who comes back gets what the hub that it comes to has itself"),
        doc: "Most events of a channel that Redis keeps for those who come back",
        ..PLAIN
    },
    OptionSpec {
        key: "redis_history_age",
        kind: Kind::Time,
        default: "1h",
        zero: Zero::Means("no history"),
        doc: "How long Redis keeps an event",
        ..PLAIN
    },
    OptionSpec {
        key: "redis_idle_age",
        kind: Kind::Time,
        default: "24h",
        zero: Zero::Means("as long as its events"),
        doc: "How long Redis knows where a channel stands after its last event",
        ..PLAIN
    },
    OptionSpec {
        key: "redis_connect_timeout",
        kind: Kind::Time,
        default: "5s",
        zero: Zero::Invalid("no connection could ever be made"),
        doc: "How long connecting to Redis may take; the URL's `socket_connect_timeout` says it too",
        ..PLAIN
    },
    OptionSpec {
        key: "redis_command_timeout",
        kind: Kind::Time,
        default: "5s",
        zero: Zero::Invalid("nothing could ever be published"),
        doc: "How long Redis may take to answer; the URL's `socket_timeout` says it too",
        ..PLAIN
    },
    OptionSpec {
        key: "redis_probe_interval",
        kind: Kind::Time,
        default: "15s",
        zero: Zero::Means("never"),
        doc: "After how long without a word the connection that listens is probed; the URL's `health_check_interval` says \
              it too",
        ..PLAIN
    },
    OptionSpec {
        key: "redis_probe_timeout",
        kind: Kind::Time,
        default: "5s",
        zero: Zero::Invalid("no connection could ever pass"),
        doc: "How long a probe waits before the connection is given up",
        ..PLAIN
    },
    OptionSpec {
        key: "redis_compare_interval",
        kind: Kind::Time,
        default: "30s",
        zero: Zero::Means("never"),
        doc: "How often channels without a new event are compared with what Redis has",
        ..PLAIN
    },
    OptionSpec {
        key: "keep_alive",
        kind: Kind::Time,
        default: "8s",
        zero: Zero::Means("never"),
        doc: "After how long without an event a stream gets a comment; clients on the JVM take 5 to 10 s of silence for a lost connection",
        ..PLAIN
    },
    OptionSpec {
        key: "retry",
        kind: Kind::Time,
        default: "3s",
        zero: Zero::Means("at once"),
        doc: "How long browsers wait before they connect again",
        ..PLAIN
    },
    OptionSpec {
        key: "stream_lifetime",
        kind: Kind::Time,
        default: "0",
        zero: Zero::Means("for ever"),
        doc: "How long a stream lasts at most: each ends by itself after 80 to 100 % of it, and its browser comes back \
              where it left off",
        ..PLAIN
    },
    OptionSpec {
        key: "header_timeout",
        kind: Kind::Time,
        default: "10s",
        zero: Zero::Invalid("no request could ever arrive"),
        doc: "How long a request's head may take to arrive, from its first byte; for a connection's first request, from when \
              the connection was accepted",
        ..PLAIN
    },
    OptionSpec {
        key: "idle_timeout",
        kind: Kind::Time,
        default: "2m",
        zero: Zero::Invalid("no connection could be used for a second request"),
        doc: "How long a connection is kept between two requests: longer than the clients' and the proxy's pools keep \
              theirs (Go 90 s, nginx 60 s), so that none sends a request while the hub closes",
        ..PLAIN
    },
    OptionSpec {
        key: "body_timeout",
        kind: Kind::Time,
        default: "30s",
        zero: Zero::Invalid("no event could ever arrive"),
        doc: "How long a request's body may take to arrive",
        ..PLAIN
    },
    OptionSpec {
        key: "bodies_bytes",
        kind: Kind::Size,
        default: "64MiB",
        zero: Zero::Means("only bodies that come in one piece are taken"),
        doc: "Memory for bodies of requests that come in more than one piece, all together; beyond it a publish is answered \
              by 503",
        ..PLAIN
    },
    OptionSpec {
        key: "stall_timeout",
        kind: Kind::Time,
        default: "30s",
        zero: Zero::Invalid("no connection could ever be served"),
        doc: "After how long a connection is cut that takes nothing of what is waiting for it",
        ..PLAIN
    },
    OptionSpec {
        key: "stop_timeout",
        kind: Kind::Time,
        default: "5s",
        zero: Zero::Means("they are cut at once"),
        doc: "How long streams are given to end when the hub stops",
        ..PLAIN
    },
    OptionSpec {
        key: "connections_max",
        default_note: "the limit of open files less 256, or three quarters of a small one",
        zero: Zero::Invalid("nobody could connect"),
        doc: "Most connections; at it the one that has been idle for longest is closed for the next",
        ..PLAIN
    },
    OptionSpec {
        key: "connections_per_client_max",
        default: "0",
        zero: Zero::Means("no limit"),
        doc: "Most connections of one client's address (IPv6: of one network of 64 bits); one more is closed at once. Behind \
              a proxy all clients have its address: leave it at 0 there",
        ..PLAIN
    },
    OptionSpec {
        key: "streams_max",
        default_note: "`connections_max` less 256, or two thirds of a small one",
        zero: Zero::Means("no stream at all"),
        doc: "Most streams; at it a browser is told to come back after 5 to 30 s",
        ..PLAIN
    },
    OptionSpec {
        key: "streams_per_client_max",
        default: "0",
        zero: Zero::Means("no limit"),
        doc: "Most streams of one client's address (IPv6: of one network of 64 bits); at it a browser is told to come back after 5 to 30 s",
        ..PLAIN
    },
    OptionSpec {
        key: "channels_per_client_max",
        default: "0",
        zero: Zero::Means("no limit"),
        doc: "Most channels that the streams of one client's address (IPv6: of one network of 64 bits) read together, each \
              counted once a stream; at it a browser is told to come back after 5 to 30 s",
        ..PLAIN
    },
    OptionSpec {
        key: "reactors",
        default_note: "half the number of cores, at least 1; 0 on other systems than Linux",
        zero: Zero::Means("streams are served as ordinary responses, which takes far more memory"),
        doc: "Threads that write to the streams",
        ..PLAIN
    },
    OptionSpec {
        key: "send_buffer",
        kind: Kind::Size,
        default: "128KiB",
        zero: Zero::Means("the system's default"),
        doc: "Kernel memory for what one connection has yet to send",
        ..PLAIN
    },
    OptionSpec {
        key: "log_events",
        default: "10000",
        zero: Zero::Means("the newest only"),
        doc: "Most events that a channel keeps for those who come back",
        ..PLAIN
    },
    OptionSpec {
        key: "log_bytes",
        kind: Kind::Size,
        default: "8MiB",
        zero: Zero::Means("the newest only"),
        doc: "Most bytes that a channel keeps",
        ..PLAIN
    },
    OptionSpec {
        key: "log_age",
        kind: Kind::Time,
        default: "5m",
        zero: Zero::Means("until the next event or the next second; a reader that is slower is told `too-slow`"),
        doc: "How long a channel keeps an event",
        ..PLAIN
    },
    OptionSpec {
        key: "logs_bytes",
        kind: Kind::Size,
        default: "256MiB",
        zero: Zero::Means("nothing is kept but what readers of a channel may not have been given yet"),
        doc: "Most memory of what all channels keep; at it those published to longest ago lose theirs. Events of the last \
              5 s of a channel with readers are kept regardless, at most `log_bytes` each",
        ..PLAIN
    },
    OptionSpec {
        key: "read_channels_max",
        kind: Kind::Count,
        default: "250000",
        zero: Zero::Means("only channels that had an event are read"),
        doc: "Most channels without any event that are read. A client that asks for another one is told to come back later",
        ..PLAIN
    },
    OptionSpec {
        key: "log_format",
        kind: Kind::Choice(&["text", "json"]),
        default: "text",
        doc: "How log lines are written to standard error",
        ..PLAIN
    },
    OptionSpec {
        key: "log",
        kind: Kind::Text,
        default: "info",
        doc: "Which log lines are written: a level (`error`, `warn`, `info`, `debug`, `trace` or `off`), or levels by \
              target, such as `info,tidecast_redis=debug`; `tidecast::access=info` alone writes the access log and \
              nothing else",
        ..PLAIN
    },
    OptionSpec {
        key: "access_log",
        kind: Kind::Switch,
        default: "false",
        doc: "Log a line for each request: client, method, path without the query, status, bytes and duration; for a stream \
              one when it is opened and one when it ends. The target is `tidecast::access`",
        ..PLAIN
    },
];
