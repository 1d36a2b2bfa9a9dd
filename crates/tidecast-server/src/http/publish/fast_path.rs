//! The fast path: publishes that are answered before hyper is set up.
//!
//! A program that publishes often sends one plain `POST /publish` after the other on a connection. Parsing and publishing
//! such a request costs less than the work of a general server around it. So while a connection has only such requests, it
//! is served here: hyper's parser reads the head ([`request`]), then [`Auth`] and [`publish`] handle it as any other
//! request, and [`response`] writes the response. Any other request, and any that would be refused, is handed over to hyper
//! with all that follows it. No refusal is written here.
//!
//! The fast path is off if the broker may have to wait, and if pages of other origins may publish, because their responses
//! have more headers.
//!
//! [`Auth`]: crate::auth::Auth

mod request;
mod response;

use std::{
    cell::Cell,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{HeaderMap, Method};
use tidecast::{Published, internals::NotifyBatch};
use tidecast_axum::internals::LazyTimer;
use tidecast_serve::{ConnectionInfo, EarlyProtocol, ReadAhead, Socket};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use self::request::{NotPlain, REQUEST_BYTES_MAX};
use super::{
    PATH,
    handler::put_result,
    item::{OnConflict, PublishRequest},
    parse::parse,
};
use crate::{app::App, auth::Permission, limits::FIRST_REQUEST_GRACE, observe::access_log};

/// Maximum number of reads for one request. Each read parses it from the beginning, which hyper does not.
const READS_MAX: u32 = 8;

thread_local! {
    /// The read buffer of the connection that is being polled, so that waiting connections need none.
    static READ_BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Answers plain publishes before hyper is set up.
#[derive(Debug, Clone)]
pub(crate) struct PublishProtocol(Arc<App>);

impl PublishProtocol {
    pub(crate) fn new(app: Arc<App>) -> Self {
        Self(app)
    }
}

impl EarlyProtocol for PublishProtocol {
    /// Serves a connection for as long as its client sends nothing but plain publishes.
    async fn serve(
        &self,
        socket: Socket,
        connection: &ConnectionInfo,
        stopping: impl Future<Output = ()> + Send,
    ) -> Option<ReadAhead> {
        let mut stopping = pin!(stopping);
        let activity = &connection.activity;
        let mut connection = PublishConnection::new(socket, &self.0, connection);
        let mut grace = LazyTimer::default();
        let mut is_stopping = false;
        let exit = poll_fn(|context| {
            if let Poll::Ready(exit) = connection.poll(context) {
                return Poll::Ready(exit);
            }
            if activity.poll_evicted(context) {
                if !connection.has_unread_request() {
                    return Poll::Ready(ConnectionExit::Closed);
                }
                // The runtime has not reported the request yet; it is read when it does.
                activity.set_busy();
                activity.set_idle();
            }
            is_stopping = is_stopping || stopping.as_mut().poll(context).is_ready();
            if !is_stopping {
                return Poll::Pending;
            }
            // hyper lets a request that has begun come to its end.
            if !connection.unread.is_empty() {
                return Poll::Ready(ConnectionExit::HandOver);
            }
            // A client that has just connected would take a close for a failure, and a proxy for a 502.
            if !connection.has_published {
                ready!(grace.poll(context, Some(connection.idle_since + FIRST_REQUEST_GRACE)));
            }
            Poll::Ready(ConnectionExit::Closed)
        });
        match exit.await {
            ConnectionExit::Closed => None,
            ConnectionExit::HandOver => {
                let PublishConnection { socket, unread, begun_at, .. } = connection;
                Some(ReadAhead { socket, unread: unread.into(), begun_at })
            }
        }
    }
}

/// How a connection leaves the fast path.
enum ConnectionExit {
    /// The client has gone, or was idle for too long.
    Closed,
    /// The unread bytes are for hyper.
    HandOver,
}

struct PublishConnection<'a> {
    app: &'a App,
    info: &'a ConnectionInfo,
    socket: Socket,
    /// The beginning of a request, or the bytes for hyper.
    unread: Vec<u8>,
    responses: Vec<u8>,
    /// How many bytes of the responses are written.
    written: usize,
    hands_over: bool,
    is_enabled: bool,
    /// Whether a publish was answered on this connection.
    has_published: bool,
    /// The headers of the current request.
    headers: HeaderMap,
    /// The body of the current response.
    body: Vec<u8>,
    /// When the connection was accepted, or the last request answered.
    idle_since: Instant,
    /// When the unread request began.
    begun_at: Option<Instant>,
    /// The number of reads for the unread request.
    reads: u32,
    header_timeout: Duration,
    idle_timeout: Duration,
    timer: LazyTimer,
}

impl<'a> PublishConnection<'a> {
    fn new(socket: Socket, app: &'a App, info: &'a ConnectionInfo) -> Self {
        let config = app.config.read();
        Self {
            app,
            info,
            socket,
            unread: Vec::new(),
            responses: Vec::new(),
            written: 0,
            hands_over: false,
            is_enabled: app.broker.publishes_at_once(),
            has_published: false,
            headers: HeaderMap::new(),
            body: Vec::new(),
            idle_since: Instant::now(),
            begun_at: None,
            reads: 0,
            header_timeout: config.header_timeout,
            idle_timeout: config.idle_timeout,
            timer: LazyTimer::default(),
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ConnectionExit> {
        loop {
            // Responses first: the hub reads no more from a client that does not read.
            if ready!(self.poll_write(context)).is_err() {
                return Poll::Ready(ConnectionExit::Closed);
            }
            if self.hands_over {
                return Poll::Ready(ConnectionExit::HandOver);
            }
            let mut buffer = READ_BUFFER.take();
            buffer.resize(REQUEST_BYTES_MAX, 0);
            let read = self.poll_read(context, &mut buffer);
            READ_BUFFER.set(buffer);
            if let Some(exit) = ready!(read) {
                return Poll::Ready(exit);
            }
        }
    }

    /// Returns whether the client has read all responses and the system has further bytes of it.
    fn has_unread_request(&self) -> bool {
        self.responses.is_empty() && self.socket.has_unread()
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        while self.written < self.responses.len() {
            match ready!(Pin::new(&mut self.socket).poll_write(context, &self.responses[self.written..]))? {
                0 => return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        self.written = 0;
        self.responses.clear();
        Poll::Ready(Ok(()))
    }

    /// Reads available bytes, and answers the requests in them.
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Option<ConnectionExit>> {
        let before = self.unread.len();
        buffer[..before].copy_from_slice(&self.unread);
        let mut buffer = ReadBuf::new(buffer);
        buffer.set_filled(before);
        match Pin::new(&mut self.socket).poll_read(context, &mut buffer) {
            Poll::Pending => return self.poll_overdue(context).map(Some),
            Poll::Ready(Err(_)) => return Poll::Ready(Some(ConnectionExit::Closed)),
            Poll::Ready(Ok(())) => {}
        }
        let bytes = buffer.filled();
        if bytes.len() == before {
            // The client has closed its side, perhaps within a request.
            return Poll::Ready(Some(if before == 0 { ConnectionExit::Closed } else { ConnectionExit::HandOver }));
        }
        self.info.activity.set_busy();
        self.answer_all(bytes);
        self.info.activity.set_idle();
        Poll::Ready(None)
    }

    /// Answers every complete request, and keeps the rest.
    fn answer_all(&mut self, bytes: &[u8]) {
        // Requests that arrived together notify each channel once.
        let _notifications = NotifyBatch::begin();
        let now = Instant::now();
        let mut rest = bytes;
        self.reads += 1;
        while !rest.is_empty() {
            match self.answer(rest) {
                Ok(len) => {
                    self.has_published = true;
                    rest = &rest[len..];
                    self.idle_since = now;
                    self.begun_at = None;
                    self.reads = 1;
                }
                // Of many requests that arrive together, the last may be incomplete. A client that sends each request in
                // pieces is left to hyper.
                Err(NotPlain::Incomplete)
                    if self.has_published && self.reads < READS_MAX && rest.len() < REQUEST_BYTES_MAX =>
                {
                    break;
                }
                Err(NotPlain::Incomplete | NotPlain::Unsupported) => {
                    self.hands_over = true;
                    break;
                }
            }
        }
        if rest.is_empty() {
            self.reads = 0;
        } else {
            self.begun_at.get_or_insert(now);
        }
        self.unread.clear();
        self.unread.extend_from_slice(rest);
    }

    /// Answers the first request, if it is plain and valid. Returns its length.
    fn answer(&mut self, bytes: &[u8]) -> Result<usize, NotPlain> {
        if !self.is_enabled || !self.app.config.read().access.cors_origins.is_empty() {
            return Err(NotPlain::Unsupported);
        }
        let request = request::parse(bytes, &mut self.headers)?;
        let begun_at = access_log::is_on().then(Instant::now);
        let published = self.publish(request.body).ok_or(NotPlain::Unsupported)?;
        self.body.clear();
        put_result(&mut self.body, &published);
        response::put(&mut self.responses, &self.body);
        if let Some(begun_at) = begun_at {
            let bytes = Some(self.body.len() as u64);
            access_log::write(&self.info.origin, &Method::POST, PATH, 200, bytes, begun_at.elapsed());
        }
        Ok(request.len)
    }

    /// Publishes the event of a body; `None` if hyper has to answer the request.
    fn publish(&self, body: &[u8]) -> Option<Published> {
        self.app.auth.check(Permission::Publish, "", &self.headers).ok()?;
        match parse(&self.app.hub, &self.headers, "", body).ok()? {
            // A conflict is a 409, which hyper writes.
            PublishRequest::Single(item) if item.on_conflict == OnConflict::Ignore => {
                self.app.hub.publish_publication_now(&item.publication).ok()
            }
            PublishRequest::Single(_) | PublishRequest::Batch(_) => None,
        }
    }

    /// Waits until the connection is idle for too long, or the request that has begun is overdue. After a hand-over hyper
    /// counts from the same moment.
    fn poll_overdue(&mut self, context: &mut Context<'_>) -> Poll<ConnectionExit> {
        let due = match self.begun_at {
            Some(begun_at) => begun_at.checked_add(self.header_timeout),
            None if self.has_published => self.idle_since.checked_add(self.idle_timeout),
            None => self.idle_since.checked_add(self.header_timeout),
        };
        let exit = if self.unread.is_empty() { ConnectionExit::Closed } else { ConnectionExit::HandOver };
        self.timer.poll(context, due).map(|()| exit)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use tidecast_serve::{ConnectionOrigin, RawSocket};
    use tokio::{
        io::AsyncWriteExt,
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::config::{Config, Settings};

    fn info() -> ConnectionInfo {
        let address = "127.0.0.1:8000".parse().unwrap();
        ConnectionInfo::new(ConnectionOrigin::plain(address, address), Arc::default())
    }

    async fn socket() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (ours, _) = listener.accept().await.unwrap();
        let ours = RawSocket::from(ours.into_std().unwrap());
        (Socket::register(ours, Duration::from_secs(60), Arc::default()).unwrap(), theirs)
    }

    fn request(headers: &str, body: &str) -> Vec<u8> {
        let len = body.len();
        let head = "POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
        format!("{head}{headers}Content-Length: {len}\r\n\r\n{body}").into_bytes()
    }

    /// A client cannot tell which requests the fast path answers, so this test shows it.
    #[tokio::test]
    async fn plain_publishes_are_answered_and_others_are_not() {
        let config = Config::from_settings(&Settings::default()).unwrap();
        let app = App::new(config, "127.0.0.1:8000".parse().unwrap(), Arc::default()).unwrap();
        let (socket, _theirs) = socket().await;
        let info = info();
        let mut connection = PublishConnection::new(socket, &app, &info);
        let data = r#"{"data":"x"}"#;
        let plain = request("", data);
        let mut answer = |bytes: &[u8]| connection.answer(bytes);
        for headers in ["", "Accept: */*\r\nUser-Agent: a program\r\n", "Connection: Keep-Alive\r\n"] {
            let bytes = request(headers, data);
            assert_eq!(answer(&bytes), Ok(bytes.len()), "{headers}");
            assert_eq!(answer(&[&bytes[..], &plain[..]].concat()), Ok(bytes.len()), "{headers}");
        }
        for len in 1..plain.len() {
            assert_eq!(answer(&plain[..len]), Err(NotPlain::Incomplete), "{len}");
        }
        for headers in [
            "Connection: close\r\n",
            "Content-Length: 12\r\n",
            "Expect: 100-continue\r\n",
            "Host: localhost\r\n",
            "Origin: http://localhost\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Upgrade: websocket\r\n",
            "a b: c\r\n",
        ] {
            assert_eq!(answer(&request(headers, data)), Err(NotPlain::Unsupported), "{headers}");
        }
        assert_eq!(answer(&request("", "[1]")), Err(NotPlain::Unsupported));
        assert_eq!(answer(&request("", "{}")), Err(NotPlain::Unsupported));
        assert_eq!(answer(&request("", &"x".repeat(REQUEST_BYTES_MAX))), Err(NotPlain::Unsupported));
        assert_eq!(answer(b"GET /publish HTTP/1.1\r\n"), Err(NotPlain::Unsupported));
        assert_eq!(answer(b"POST /publish HTTP/1.0\r\n\r\n"), Err(NotPlain::Unsupported));
        assert_eq!(answer(b"POST /publish?last=1 HTTP/1.1\r\n\r\n"), Err(NotPlain::Unsupported));
        app.hub.close();
        assert_eq!(answer(&plain), Err(NotPlain::Unsupported));
    }

    /// Responses of the fast path lacked the headers that tell caches and pages of other origins who may read them.
    #[tokio::test]
    async fn it_is_off_if_pages_of_other_origins_may_publish() {
        let mut config = Config::from_settings(&Settings::default()).unwrap();
        config.access.cors_origins = vec![HeaderValue::from_static("https://app.example")];
        let app = App::new(config, "127.0.0.1:8000".parse().unwrap(), Arc::default()).unwrap();
        let (socket, _theirs) = socket().await;
        let plain = request("", r#"{"data":"x"}"#);
        assert_eq!(PublishConnection::new(socket, &app, &info()).answer(&plain), Err(NotPlain::Unsupported));
    }

    /// A connection that was accepted just before the hub began to stop was closed before its first request, and a proxy made
    /// that a 502, which closes an `EventSource` for good.
    #[tokio::test(start_paused = true)]
    async fn a_new_connection_may_send_a_request_while_the_hub_stops() {
        let config = Config::from_settings(&Settings::default()).unwrap();
        let app = App::new(config, "127.0.0.1:8000".parse().unwrap(), Arc::default()).unwrap();
        let sent = b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let (ours, mut theirs) = socket().await;
        let (protocol, info) = (PublishProtocol::new(app), info());
        let mut serving = pin!(protocol.serve(ours, &info, std::future::ready(())));
        let once = poll_fn(|context| Poll::Ready(serving.as_mut().poll(context).is_pending()));
        assert!(once.await, "the hub waits for a request");
        theirs.write_all(sent).await.unwrap();
        assert_eq!(serving.await.unwrap().unread, &sent[..]);

        // Without a request the wait is bounded.
        let (ours, _theirs) = socket().await;
        let begun = Instant::now();
        assert!(protocol.serve(ours, &info, std::future::ready(())).await.is_none());
        assert!((FIRST_REQUEST_GRACE..2 * FIRST_REQUEST_GRACE).contains(&begun.elapsed()));
    }

    /// A request that arrived byte by byte was copied and parsed from the beginning at each byte, without a bound.
    #[tokio::test]
    async fn a_request_in_many_pieces_is_handed_over() {
        let config = Config::from_settings(&Settings::default()).unwrap();
        let app = App::new(config, "127.0.0.1:8000".parse().unwrap(), Arc::default()).unwrap();
        let (socket, _theirs) = socket().await;
        let info = info();
        let mut connection = PublishConnection::new(socket, &app, &info);
        let bytes = request("", r#"{"data":"x"}"#);
        connection.answer_all(&[&bytes[..], b"P"].concat());
        let begun_at = connection.begun_at;
        assert!(connection.has_published && begun_at.is_some());
        // A second request in two pieces is answered.
        connection.answer_all(&bytes);
        assert!(connection.begun_at.is_none() && !connection.hands_over);
        for len in 1..=bytes.len() {
            connection.answer_all(&bytes[..len]);
            if connection.hands_over {
                assert_eq!(len, READS_MAX as usize);
                assert!(connection.begun_at > begun_at);
                return;
            }
        }
        panic!("the request was parsed at every byte");
    }
}
