//! A Flask program under gunicorn with gevent and two workers, on Flask-SSE or on Tidecast's package, which may
//! redirect streams to a hub.
//!
//! `TIDECAST_PYTHON` names the interpreter of an environment with both packages. Each start of `flask_program.py` has
//! its own folder with gunicorn's configuration, and its own Redis server.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use super::{Server, dialect::Dialect, start_and_read_address};
use crate::load::form::KEY;
use tidecast_test::redis::RedisServer;

pub(super) const PROGRAM: &str = include_str!("../../flask_program.py");
const WORKERS: usize = 2;
const READY_WITHIN: Duration = Duration::from_secs(20);

/// The name under which each package is imported.
pub(super) const FLASK_SSE: &str = "flask_sse";
pub(super) const TIDECAST: &str = "tidecast.flask_sse";

pub(super) fn missing() -> Option<&'static str> {
    if python().is_none() {
        return Some("TIDECAST_PYTHON must name a Python with Flask-SSE and Tidecast; `cargo xtask bench` creates one");
    }
    let there =
        |name: &str| env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|at| at.join(name).is_file()));
    (!there("redis-server")).then_some("there is no redis-server: `cargo xtask setup` installs it")
}

/// Starts the program with its events on a Redis.
pub(super) fn on_redis(extension: &str) -> Result<Server> {
    let redis = RedisServer::start(&[]);
    let mut server = start(&format!("{extension:?}, REDIS_URL={:?}", redis.url()))?;
    server.begins_late = extension == FLASK_SSE;
    server.redis = Some(redis);
    Ok(server)
}

/// Starts a hub that requires tickets, and then the program.
pub(super) fn with_hub(mut hub: Command, redis: Option<RedisServer>) -> Result<Server> {
    hub.arg("--tickets").env("TIDECAST_PUBLISH_KEY", KEY);
    if let Some(redis) = &redis {
        hub.arg("--redis").arg(redis.url());
    }
    let hub = start_and_read_address(hub).context("the hub")?;
    let mut server = start(&format!("{TIDECAST:?}, SSE_HUB_URL=\"http://{}\", SSE_HUB_KEY={KEY:?}", hub.address))?;
    (server.hub, server.redis) = (Some(Box::new(hub)), redis);
    Ok(server)
}

/// Starts the program with these arguments and waits until each worker has loaded it. Otherwise one worker would get
/// all connections.
fn start(arguments: &str) -> Result<Server> {
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let folder = env::temp_dir().join(format!("tidecast-bench-{}-{}", std::process::id(), address.port()));
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("flask_program.py"), PROGRAM)?;
    fs::write(folder.join("gunicorn.conf.py"), configuration(address))?;
    let mut gunicorn = Command::new(python().context("no Python")?);
    gunicorn.args(["-m", "gunicorn", &format!("flask_program:program({arguments})")]);
    gunicorn.current_dir(&folder).env("PYTHONDONTWRITEBYTECODE", "1").env_remove("GUNICORN_CMD_ARGS");
    let process = gunicorn.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let mut server = Server::new(process, Dialect::Json, address);
    server.folder = Some(folder.clone());
    let deadline = Instant::now() + READY_WITHIN;
    while ready_workers(&folder)? < WORKERS {
        let log = || fs::read_to_string(folder.join("error.log")).unwrap_or_default();
        ensure!(matches!(server.process.try_wait(), Ok(None)), "gunicorn ends: {}", log());
        if Instant::now() > deadline {
            bail!("gunicorn's workers are not ready: {}", log());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(server)
}

fn ready_workers(folder: &Path) -> Result<usize> {
    let ready = |entry: &fs::DirEntry| entry.path().extension().is_some_and(|end| end == "ready");
    Ok(fs::read_dir(folder)?.flatten().filter(ready).count())
}

fn python() -> Option<PathBuf> {
    env::var_os("TIDECAST_PYTHON").map(PathBuf::from).filter(|python| python.is_file())
}

/// Returns gunicorn's configuration. It keeps idle connections, as the publisher's is idle before the streams have
/// begun.
fn configuration(address: SocketAddr) -> String {
    format!(
        "\
from pathlib import Path

bind = \"{address}\"
workers = {WORKERS}
worker_class = \"gevent\"
worker_connections = 2000
keepalive = 75
graceful_timeout = 1
errorlog = \"error.log\"
loglevel = \"warning\"


def post_worker_init(worker):
    Path(f\"{{worker.pid}}.ready\").touch()
"
    )
}
