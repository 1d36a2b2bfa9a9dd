//! The servers under test, each a process of its own, or several.
//!
//! How each is started is in the file of its name; here is what all of them have: an address, a way to say what is
//! published and listened to, and an end.

mod axum;
mod bare;
mod flask;
mod nchan;
pub(crate) mod process;
mod redirect;
mod tidecast;

use std::{
    env,
    io::{BufRead, BufReader},
    net::SocketAddr,
    ops::Range,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use self::process::Processes;
use tidecast_test::redis::RedisServer;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Tidecast, as it is released.
    Tidecast,
    /// What can't be done with less: `bin/bare`, one send for each event and subscriber.
    BareEach,
    /// The same, which sends at once what has piled up.
    BareCoalescing,
    /// axum and a broadcast channel, as most people would write it: `bin/by_hand.rs`.
    Axum,
    /// nginx with nchan, so many workers.
    Nchan1,
    /// See [`Kind::Nchan1`].
    Nchan2,
    /// A Flask program on Flask-SSE.
    FlaskSse,
    /// The same on Tidecast's Python package, with its events on Redis too.
    FlaskTidecast,
    /// The same with a hub, which has the streams and keeps the events in its memory.
    FlaskHub,
    /// The same with the hub on Redis.
    FlaskHubRedis,
}

impl Kind {
    pub(crate) const ALL: [Self; 10] = [
        Self::Tidecast,
        Self::BareEach,
        Self::BareCoalescing,
        Self::Axum,
        Self::Nchan1,
        Self::Nchan2,
        Self::FlaskSse,
        Self::FlaskTidecast,
        Self::FlaskHub,
        Self::FlaskHubRedis,
    ];

    /// As it is called on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tidecast => "tidecast",
            Self::BareEach => "bare-each",
            Self::BareCoalescing => "bare-coalescing",
            Self::Axum => "axum-by-hand",
            Self::Nchan1 => "nchan-1",
            Self::Nchan2 => "nchan-2",
            Self::FlaskSse => "flask-sse",
            Self::FlaskTidecast => "flask-tidecast",
            Self::FlaskHub => "flask-hub",
            Self::FlaskHubRedis => "flask-hub-redis",
        }
    }

    /// Whether it is what is measured, and not what it is compared with.
    pub(crate) fn is_own(self) -> bool {
        self == Self::Tidecast || self.is_flask() && !self.is_peer()
    }

    /// Whether it is a Flask program.
    pub(crate) fn is_flask(self) -> bool {
        matches!(self, Self::FlaskSse | Self::FlaskTidecast | Self::FlaskHub | Self::FlaskHubRedis)
    }

    pub(crate) fn is_bare(self) -> bool {
        matches!(self, Self::BareEach | Self::BareCoalescing)
    }

    /// Whether it is a server that somebody might use in place of Tidecast.
    pub(crate) fn is_peer(self) -> bool {
        matches!(self, Self::Axum | Self::Nchan1 | Self::Nchan2 | Self::FlaskSse)
    }

    /// Whether its program is not of this repository.
    pub(crate) fn is_foreign(self) -> bool {
        matches!(self, Self::Nchan1 | Self::Nchan2 | Self::FlaskSse)
    }

    /// Why it can't be measured here, if so.
    pub(crate) fn absent(self) -> Option<&'static str> {
        match self {
            Self::Nchan1 | Self::Nchan2 => nchan::absent(),
            flask if flask.is_flask() => flask::absent(),
            _ => None,
        }
    }
}

/// How a server wants to be asked.
#[derive(Debug, Clone, Copy)]
enum Dialect {
    /// `POST /publish` with JSON, `GET /stream?channel=…`.
    Json,
    /// The channel in the path, the data as it is.
    Path,
}

/// Where the programs are.
#[derive(Debug)]
pub(crate) struct Programs {
    tidecast: PathBuf,
    bare: PathBuf,
    by_hand: PathBuf,
}

impl Programs {
    /// Finds them: the hub by `TIDECAST_BIN`, those of this package beside this program.
    pub(crate) fn find() -> Result<Self> {
        let tidecast = env::var_os("TIDECAST_BIN")
            .context("TIDECAST_BIN is not set: it is the path of the hub, built by `cargo build --release`")?;
        let tidecast = PathBuf::from(tidecast);
        ensure!(tidecast.is_file(), "TIDECAST_BIN: there is no {}", tidecast.display());
        let beside = |name| {
            let program = env::current_exe()?.with_file_name(name);
            ensure!(program.is_file(), "there is no {}: build the bench with --bins", program.display());
            Ok(program)
        };
        Ok(Self { tidecast, bare: beside("bare")?, by_hand: beside("by_hand")? })
    }

    /// Starts a server on a free port.
    pub(crate) fn start(&self, kind: Kind) -> Result<Server> {
        let server = match kind {
            Kind::Tidecast => says_where(tidecast::command(&self.tidecast)),
            Kind::BareEach => says_where(bare::command(&self.bare, "each")),
            Kind::BareCoalescing => says_where(bare::command(&self.bare, "coalescing")),
            Kind::Axum => says_where(axum::command(&self.by_hand)),
            Kind::Nchan1 => nchan::start(1),
            Kind::Nchan2 => nchan::start(2),
            Kind::FlaskSse => flask::on_redis(flask::FLASK_SSE),
            Kind::FlaskTidecast => flask::on_redis(flask::TIDECAST),
            Kind::FlaskHub => flask::with_hub(tidecast::command(&self.tidecast), None),
            Kind::FlaskHubRedis => flask::with_hub(tidecast::command(&self.tidecast), Some(RedisServer::start(&[]))),
        };
        server.with_context(|| format!("{} does not start", kind.name()))
    }
}

/// A server that runs. It is ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    dialect: Dialect,
    pub(crate) address: SocketAddr,
    /// What it was configured with; removed at the end.
    folder: Option<PathBuf>,
    /// Its stream has no head before the first event.
    begins_late: bool,
    /// To which it sends those who ask for a stream.
    hub: Option<Box<Self>>,
    /// What carries its events, if a Redis server does.
    redis: Option<RedisServer>,
}

impl Server {
    fn new(process: Child, dialect: Dialect, address: SocketAddr) -> Self {
        Self { process, dialect, address, folder: None, begins_late: false, hub: None, redis: None }
    }

    /// Its processes as they are now.
    pub(crate) fn processes(&self) -> Result<Processes> {
        let own = Processes::of(self.process.id())?;
        match &self.hub {
            None => Ok(own),
            Some(hub) => Ok(own.and(hub.processes()?)),
        }
    }

    /// Those of the Redis that carries its events.
    pub(crate) fn redis_processes(&self) -> Result<Option<Processes>> {
        self.redis.as_ref().map(|redis| Processes::of(redis.pid())).transpose()
    }

    /// How many connections that Redis has, without the one that asks; none if there is no such Redis.
    pub(crate) fn redis_connections(&self) -> Result<usize> {
        let Some(redis) = &self.redis else { return Ok(0) };
        let info = redis.command(&["INFO", "clients"]).context("no reply to INFO")?;
        let count = info.lines().find_map(|line| line.strip_prefix("connected_clients:"));
        Ok(count.context("no connected_clients")?.parse::<usize>()? - 1)
    }

    /// How many listen to so many channels, if the heads of its streams do not say so.
    pub(crate) fn listening(&self, channels: usize) -> Result<Option<usize>> {
        let Some(redis) = self.redis.as_ref().filter(|_| self.begins_late) else { return Ok(None) };
        let names: Vec<_> = (0..channels).map(|channel| format!("c{channel}")).collect();
        let question: Vec<_> = ["PUBSUB", "NUMSUB"].into_iter().chain(names.iter().map(String::as_str)).collect();
        let reply = redis.command(&question).context("no reply to PUBSUB")?;
        let numbers = reply.lines().filter_map(|line| line.strip_prefix(':'));
        Ok(Some(numbers.map(str::parse::<usize>).sum::<Result<usize, _>>()?))
    }

    /// The request that publishes this to a channel.
    pub(crate) fn publish_request(&self, channel: usize, data: &str) -> String {
        let address = self.address;
        let (path, media_type, body) = match self.dialect {
            Dialect::Json => {
                let body = format!("{{\"channel\":\"c{channel}\",\"data\":\"{data}\"}}");
                ("/publish".to_owned(), "application/json", body)
            }
            Dialect::Path => (format!("/publish/c{channel}"), "text/plain", data.to_owned()),
        };
        let length = body.len();
        format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    }

    /// Where to listen to these channels, and by which request. A server that sends its readers on is asked for it.
    ///
    /// # Errors
    /// If it does not answer, or does not send on.
    pub(crate) fn way_to_stream(&self, channels: Range<usize>) -> Result<(SocketAddr, String)> {
        let request = self.stream_request(channels);
        if self.hub.is_none() {
            return Ok((self.address, request));
        }
        let (address, path) = redirect::followed(self.address, &request)?;
        Ok((address, get(&path, address)))
    }

    /// The request that listens to these channels.
    pub(crate) fn stream_request(&self, channels: Range<usize>) -> String {
        let path = match self.dialect {
            Dialect::Json => {
                let channels: Vec<_> = channels.map(|channel| format!("channel=c{channel}")).collect();
                format!("/stream?{}", channels.join("&"))
            }
            Dialect::Path => {
                let channels: Vec<_> = channels.map(|channel| format!("c{channel}")).collect();
                format!("/stream/{}", channels.join(","))
            }
        };
        get(&path, self.address)
    }
}

fn get(path: &str, address: SocketAddr) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n\r\n")
}

impl Drop for Server {
    fn drop(&mut self) {
        process::end(&mut self.process);
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// Starts a server that prints its address as its first line.
fn says_where(mut command: Command) -> Result<Server> {
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut line = String::new();
    BufReader::new(process.stdout.take().context("no output")?).read_line(&mut line)?;
    let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).and_then(|at| at.parse().ok());
    let Some(address) = address else {
        process::end(&mut process);
        bail!("it does not say where it listens: {line:?}");
    };
    Ok(Server::new(process, Dialect::Json, address))
}
