//! Peers that read a configuration file: each start has a temporary folder and a free port.

use std::{
    env, fs,
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use super::{Server, dialect::Dialect, process};
use crate::load::form::KEY;

const READY_WITHIN: Duration = Duration::from_secs(10);

/// A start of a peer, before its program runs.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) address: SocketAddr,
    pub(super) folder: PathBuf,
}

impl Start {
    /// Picks a free port and creates a folder.
    pub(super) fn new() -> Result<Self> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let folder = env::temp_dir().join(format!("tidecast-bench-{}-{}", std::process::id(), address.port()));
        fs::create_dir_all(&folder)?;
        Ok(Self { address, folder })
    }

    /// Writes a configuration file, with the address and the key in place of `{address}`, `{host}`, `{port}` and `{key}`.
    pub(super) fn write(&self, name: &str, template: &str) -> Result<PathBuf> {
        let text = template
            .replace("{address}", &self.address.to_string())
            .replace("{host}", &self.address.ip().to_string())
            .replace("{port}", &self.address.port().to_string())
            .replace("{key}", KEY);
        let path = self.folder.join(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Starts the program in the folder, and waits until it listens and has this many processes.
    pub(super) fn run(self, mut command: Command, dialect: Dialect, processes: usize) -> Result<Server> {
        let log = self.folder.join("output.log");
        let output = File::create(&log)?;
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let mut server = Server::new(command.spawn()?, dialect, self.address);
        server.folder = Some(self.folder);
        let deadline = Instant::now() + READY_WITHIN;
        while TcpStream::connect(self.address).is_err() || server.processes()?.count() < processes {
            let ended = !matches!(server.process.try_wait(), Ok(None));
            if ended || Instant::now() > deadline {
                process::end(&mut server.process);
                bail!("it does not listen: {}", fs::read_to_string(&log).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(server)
    }
}
