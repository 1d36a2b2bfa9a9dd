//! Opens the byte stream to a server: TCP, TLS over TCP, or a Unix socket.
//!
//! Callers set the deadline. Nothing else in this crate opens a socket.

use std::{fmt, io, time::Duration};

use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tidecast::Result;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::{
    address::Address,
    tls::{self, TlsOptions},
};

/// How long sent bytes may stay unacknowledged by the peer. Commands and probes have shorter deadlines; this ends
/// sockets that no caller waits on any more.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

/// A boxed byte stream.
pub(crate) type Transport = Box<dyn TransportIo>;

pub(crate) trait TransportIo: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> TransportIo for S {}

/// Opens transports with the same settings for every server.
#[derive(Clone)]
pub(crate) struct TransportOpener {
    tls: Option<TlsConnector>,
    keepalive: bool,
}

impl TransportOpener {
    /// Reads the certificates.
    ///
    /// # Errors
    ///
    /// `is_invalid` if a certificate or key cannot be used.
    pub(crate) fn new(tls: Option<&TlsOptions>, keepalive: bool) -> Result<Self> {
        let tls = tls.map(tls::client_config).transpose()?;
        Ok(Self { tls: tls.map(TlsConnector::from), keepalive })
    }

    /// Connects to an address.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the socket.
    pub(crate) async fn open(&self, address: &Address) -> io::Result<Transport> {
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

    /// Has the system detect a peer that vanished, both on an idle connection and while bytes are being sent.
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

impl fmt::Debug for TransportOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransportOpener").field("tls", &self.tls.is_some()).field("keepalive", &self.keepalive).finish()
    }
}

#[cfg(unix)]
async fn open_unix(path: &std::path::Path) -> io::Result<Transport> {
    Ok(Box::new(tokio::net::UnixStream::connect(path).await?))
}

#[cfg(not(unix))]
async fn open_unix(_path: &std::path::Path) -> io::Result<Transport> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no Unix sockets"))
}
