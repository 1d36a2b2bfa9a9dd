//! Opening a socket to a node: TCP, TLS over TCP, or a Unix socket.
//!
//! It speaks no Redis and has no deadline of its own: `connection` puts one on all of it. Nothing else opens a socket.

use std::{fmt, io, path::PathBuf, time::Duration};

use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tidecast::Result;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::{RedisConfig, tls};

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// An open connection, whatever carries it.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

pub(crate) type Socket = Box<dyn Duplex>;

/// How sockets are opened: the same for every node.
#[derive(Clone)]
pub(crate) struct Opener {
    tls: Option<TlsConnector>,
    keepalive: bool,
}

impl Opener {
    /// Reads the certificates.
    ///
    /// # Errors
    ///
    /// `is_invalid` where that fails.
    pub(crate) fn new(config: &RedisConfig) -> Result<Self> {
        let tls = config.tls.as_ref().map(tls::client_config).transpose()?;
        Ok(Self { tls: tls.map(TlsConnector::from), keepalive: config.keepalive })
    }

    /// # Cancel safety
    ///
    /// Dropping the future closes what was opened.
    pub(crate) async fn open(&self, address: &Address) -> io::Result<Socket> {
        let (host, port) = match address {
            Address::Tcp { host, port } => (host, *port),
            Address::Unix(path) => return open_unix(path).await,
        };
        let stream = TcpStream::connect((host.as_str(), port)).await?;
        stream.set_nodelay(true)?;
        self.set_options(&stream)?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
        Ok(Box::new(tls.connect(name, stream).await?))
    }

    /// A peer that vanished is given up on, whether something was being sent or not.
    fn set_options(&self, stream: &TcpStream) -> io::Result<()> {
        let socket = SockRef::from(stream);
        if self.keepalive {
            let keepalive =
                TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(5));
            socket.set_tcp_keepalive(&keepalive)?;
        }
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
        Ok(())
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("tls", &self.tls.is_some()).field("keepalive", &self.keepalive).finish()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // An IPv6 address is set apart from its port as in a URL.
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(unix)]
async fn open_unix(path: &std::path::Path) -> io::Result<Socket> {
    Ok(Box::new(tokio::net::UnixStream::connect(path).await?))
}

#[cfg(not(unix))]
async fn open_unix(_path: &std::path::Path) -> io::Result<Socket> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no Unix sockets"))
}

/// How long what was sent may go unacknowledged by the other machine. The deadlines of commands and probes are shorter;
/// this ends the sockets that nobody waits for any more.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);
