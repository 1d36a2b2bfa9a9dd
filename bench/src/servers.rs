//! The servers under test, each of one process or several.
//!
//! A file for each server starts it. Here is what they have in common: an address, requests to publish and subscribe,
//! and an end.

mod axum;
mod bare;
mod centrifugo;
mod configured;
pub(crate) mod dialect;
mod durable_streams;
mod flask;
pub(crate) mod kernel;
mod kind;
mod mercure;
mod nchan;
pub(crate) mod process;
mod redirect;
mod tidecast;

use std::{
    env,
    io::{BufRead, BufReader},
    net::SocketAddr,
    ops::Range,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

pub(crate) use self::kind::Kind;
use self::{
    dialect::{Dialect, PositionMark, get},
    process::Processes,
};
use crate::load::{exchange::Exchange, form::KEY, stream::Wrapping};
use tidecast_test::redis::RedisServer;

/// The paths of the programs.
#[derive(Debug)]
pub(crate) struct Programs {
    tidecast: PathBuf,
    bare: PathBuf,
    by_hand: PathBuf,
    centrifugo: Option<PathBuf>,
    mercure: Option<PathBuf>,
    durable_streams: Option<PathBuf>,
}

impl Programs {
    /// Finds the hub by `TIDECAST_BIN`, the programs of this package beside this one, and those of the peers by
    /// `TIDECAST_CENTRIFUGO`, `TIDECAST_MERCURE` and `TIDECAST_DURABLE_STREAMS` or on `PATH`.
    pub(crate) fn find() -> Result<Self> {
        let tidecast = env::var_os("TIDECAST_BIN")
            .context("TIDECAST_BIN is not set; set it to the path of the hub, which `cargo build --release` builds")?;
        let tidecast = PathBuf::from(tidecast);
        ensure!(tidecast.is_file(), "TIDECAST_BIN names {}, which does not exist", tidecast.display());
        let beside = |name| {
            let program = env::current_exe()?.with_file_name(name);
            ensure!(program.is_file(), "{} does not exist; build the bench with --bins", program.display());
            Ok(program)
        };
        let peer = |variable, program| env::var_os(variable).map(PathBuf::from).or_else(|| on_path(program));
        Ok(Self {
            tidecast,
            bare: beside("bare")?,
            by_hand: beside("by_hand")?,
            centrifugo: peer("TIDECAST_CENTRIFUGO", "centrifugo"),
            mercure: peer("TIDECAST_MERCURE", "mercure"),
            durable_streams: peer("TIDECAST_DURABLE_STREAMS", "durable-streams-server"),
        })
    }

    /// Returns why a server cannot be measured on this machine, or `None`.
    pub(crate) fn missing(&self, kind: Kind) -> Option<&'static str> {
        let unless = |there: bool, remedy| (!there).then_some(remedy);
        match kind {
            Kind::Nchan1 | Kind::Nchan2 => {
                unless(nchan::is_installed(), "install nginx with nchan by `cargo xtask setup`")
            }
            Kind::Centrifugo | Kind::CentrifugoLive => {
                unless(self.centrifugo.is_some(), "name a binary by `--centrifugo`, or give `--install-peers`")
            }
            Kind::Mercure | Kind::MercureLive => unless(self.mercure.is_some(), "name a binary by `--mercure`"),
            Kind::DurableStreams => unless(self.durable_streams.is_some(), "give `--install-peers`"),
            flask if flask.is_flask() => flask::missing(),
            _ => None,
        }
    }

    /// Starts a server on a free port.
    pub(crate) fn start(&self, kind: Kind) -> Result<Server> {
        let server = match kind {
            Kind::Tidecast => start_and_read_address(tidecast::command(&self.tidecast)),
            Kind::TidecastLive => {
                let mut command = tidecast::command(&self.tidecast);
                command.args(["--log-events", "256"]);
                start_and_read_address(command)
            }
            Kind::BareEach => start_and_read_address(bare::command(&self.bare, "each")),
            Kind::BareCoalescing => start_and_read_address(bare::command(&self.bare, "coalescing")),
            Kind::Axum => start_and_read_address(axum::command(&self.by_hand)),
            Kind::Nchan1 => nchan::start(1),
            Kind::Nchan2 => nchan::start(2),
            Kind::Centrifugo => centrifugo::start(found(&self.centrifugo)?, centrifugo::WITH_HISTORY),
            Kind::CentrifugoLive => centrifugo::start(found(&self.centrifugo)?, centrifugo::LIVE),
            Kind::Mercure => mercure::start(found(&self.mercure)?, mercure::WITH_HISTORY),
            Kind::MercureLive => mercure::start(found(&self.mercure)?, mercure::LIVE),
            Kind::DurableStreams => durable_streams::start(found(&self.durable_streams)?),
            Kind::FlaskSse => flask::on_redis(flask::FLASK_SSE),
            Kind::FlaskTidecast => flask::on_redis(flask::TIDECAST),
            Kind::FlaskHub => flask::with_hub(tidecast::command(&self.tidecast), None),
            Kind::FlaskHubRedis => flask::with_hub(tidecast::command(&self.tidecast), Some(RedisServer::start(&[]))),
        };
        server.with_context(|| format!("{} does not start", kind.name()))
    }

    /// Starts Tidecast with a publish key, [`KEY`].
    pub(crate) fn start_with_key(&self) -> Result<Server> {
        let mut command = tidecast::command(&self.tidecast);
        command.env("TIDECAST_PUBLISH_KEY", KEY);
        start_and_read_address(command).context("the hub with a key does not start")
    }
}

/// A running server, ended when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    dialect: Dialect,
    pub(crate) address: SocketAddr,
    /// The folder with its configuration, removed at the end.
    folder: Option<PathBuf>,
    /// Whether its streams have no head before the first event.
    begins_late: bool,
    /// The hub to which it redirects requests for streams.
    hub: Option<Box<Self>>,
    /// The Redis server that carries its events.
    redis: Option<RedisServer>,
}

impl Server {
    fn new(process: Child, dialect: Dialect, address: SocketAddr) -> Self {
        Self { process, dialect, address, folder: None, begins_late: false, hub: None, redis: None }
    }

    /// Returns its present processes.
    pub(crate) fn processes(&self) -> Result<Processes> {
        let own = Processes::of(self.process.id())?;
        match &self.hub {
            None => Ok(own),
            Some(hub) => Ok(own.and(hub.processes()?)),
        }
    }

    /// Returns the processes of the Redis server that carries its events.
    pub(crate) fn redis_processes(&self) -> Result<Option<Processes>> {
        self.redis.as_ref().map(|redis| Processes::of(redis.pid())).transpose()
    }

    /// Returns the number of connections to that Redis server without this one, or 0 if there is no such server.
    pub(crate) fn redis_connections(&self) -> Result<usize> {
        let Some(redis) = &self.redis else { return Ok(0) };
        let info = redis.command(&["INFO", "clients"]).context("no reply to INFO")?;
        let count = info.lines().find_map(|line| line.strip_prefix("connected_clients:"));
        Ok(count.context("no connected_clients")?.parse::<usize>()? - 1)
    }

    /// Returns the number of subscribers of the first channels if the heads of streams do not tell.
    pub(crate) fn subscribers_on_redis(&self, channels: usize) -> Result<Option<usize>> {
        let Some(redis) = self.redis.as_ref().filter(|_| self.begins_late) else { return Ok(None) };
        let names: Vec<_> = (0..channels).map(|channel| format!("c{channel}")).collect();
        let question: Vec<_> = ["PUBSUB", "NUMSUB"].into_iter().chain(names.iter().map(String::as_str)).collect();
        let reply = redis.command(&question).context("no reply to PUBSUB")?;
        let numbers = reply.lines().filter_map(|line| line.strip_prefix(':'));
        Ok(Some(numbers.map(str::parse::<usize>).sum::<Result<usize, _>>()?))
    }

    /// Creates the first channels, if the server needs that.
    pub(crate) fn create_channels(&self, channels: usize) -> Result<()> {
        let requests: Vec<_> = (0..channels).filter_map(|at| self.dialect.create_request(self.address, at)).collect();
        let mut exchange = Exchange::connect(self.address)?;
        for request in requests {
            exchange.send(request.as_bytes())?;
            exchange.wait(1)?;
        }
        Ok(())
    }

    /// Returns how the published data are wrapped in the data of an event.
    pub(crate) fn wrapping(&self) -> Wrapping {
        self.dialect.wrapping()
    }

    /// Returns the request that publishes data to a channel.
    pub(crate) fn publish_request(&self, channel: usize, data: &str) -> String {
        self.dialect.publish_request(self.address, channel, data)
    }

    /// Returns the address and the request for a stream of these channels, following a redirect.
    ///
    /// # Errors
    ///
    /// If the server does not respond, or does not redirect although it should.
    pub(crate) fn route_to_stream(&self, channels: Range<usize>) -> Result<(SocketAddr, String)> {
        let request = self.stream_request(channels);
        if self.hub.is_none() {
            return Ok((self.address, request));
        }
        let (address, path) = redirect::follow(self.address, &request)?;
        Ok((address, get(&path, address, "")))
    }

    /// Returns the request for a stream of these channels.
    pub(crate) fn stream_request(&self, channels: Range<usize>) -> String {
        self.dialect.stream_request(self.address, channels)
    }

    /// Returns the request that listens to the first channel from a position on.
    pub(crate) fn resume_request(&self, position: &str) -> String {
        self.dialect.resume_request(self.address, position)
    }

    pub(crate) fn position_mark(&self) -> PositionMark {
        self.dialect.position_mark()
    }
}

/// Returns the path of this program, if `PATH` has it.
fn on_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(program)).find(|path| path.is_file())
}

fn found(program: &Option<PathBuf>) -> Result<&Path> {
    program.as_deref().context("its program is missing")
}

impl Drop for Server {
    fn drop(&mut self) {
        process::end(&mut self.process);
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// Starts a server that prints its address in its first line.
fn start_and_read_address(mut command: Command) -> Result<Server> {
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut line = String::new();
    BufReader::new(process.stdout.take().context("no output")?).read_line(&mut line)?;
    let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).and_then(|at| at.parse().ok());
    let Some(address) = address else {
        process::end(&mut process);
        bail!("the server printed no address, but {line:?}");
    };
    Ok(Server::new(process, Dialect::Json, address))
}
