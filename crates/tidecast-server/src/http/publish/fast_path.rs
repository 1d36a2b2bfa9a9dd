//! The fast path: publishes that are answered before hyper is set up.
//!
//! Parsing and publishing an event costs less than the work of a general server around it. So while a connection has only
//! requests to publish, it is served here: hyper's parser reads the head ([`request`]), then [`Auth`] and [`publish`] handle
//! it as any other request, and [`response`] writes what hyper would. The pieces of a request are put together, and its head
//! is parsed once. While a publish waits for its broker, nothing more is read.
//!
//! These go to hyper, with all that follows them: requests to other routes, those that [`Auth`] refuses, because such
//! responses are delayed, those with a transfer encoding or an upgrade, and large ones.
//!
//! [`Auth`]: crate::auth::Auth

mod request;
mod response;

use std::{
    cell::Cell,
    future::poll_fn,
    mem,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{HeaderMap, Method, StatusCode};
use tidecast::internals::NotifyBatch;
use tidecast_axum::{Problem, internals::LazyTimer};
use tidecast_serve::{
    ConnectionInfo,
    internals::{EarlyProtocol, ReadAhead, Socket},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use self::request::{NotPlain, REQUEST_BYTES_MAX, RequestHead};
use super::{
    PATH,
    handler::{publish, respond},
};
use crate::{
    app::App,
    auth::Permission,
    config::Config,
    http::{
        body::{Reservation, too_slow},
        cors,
    },
    limits::FIRST_REQUEST_GRACE,
    observe::access_log,
};

/// A variable that turns the fast path off, for tests. Only programs with debug assertions read it.
const OFF_VARIABLE: &str = "HUB_TEST_WITHOUT_FAST_PATH";

/// Size up to which a connection keeps the memory of its last responses, in bytes.
const RESPONSE_BYTES_KEPT: usize = 16 * 1024;

thread_local! {
    /// The read buffer of the connection that is being polled, so that waiting connections need none.
    static READ_BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Answers publishes before hyper is set up.
#[derive(Debug, Clone)]
pub(crate) struct PublishProtocol {
    app: Arc<App>,
    is_enabled: bool,
}

impl PublishProtocol {
    pub(crate) fn new(app: Arc<App>) -> Self {
        Self { app, is_enabled: !(cfg!(debug_assertions) && std::env::var_os(OFF_VARIABLE).is_some()) }
    }
}

impl EarlyProtocol for PublishProtocol {
    /// Serves a connection for as long as its client sends nothing but publishes.
    async fn serve(
        &self,
        socket: Socket,
        connection: &ConnectionInfo,
        stopping: impl Future<Output = ()> + Send,
    ) -> Option<ReadAhead> {
        let mut connection = PublishConnection::new(socket, &self.app, connection);
        connection.is_enabled = self.is_enabled;
        match connection.run(pin!(stopping)).await {
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

/// The next step of a connection, once its responses are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Read,
    HandOver,
    Close,
}

/// The end of a wait for the client.
enum Wait {
    /// Bytes were read.
    Read,
    /// The rest of a body did not arrive in time.
    BodyOverdue,
    Exit(ConnectionExit),
}

struct PublishConnection<'a> {
    app: &'a App,
    info: &'a ConnectionInfo,
    socket: Socket,
    /// The beginning of a request, or the bytes for hyper.
    unread: Vec<u8>,
    /// How many bytes of an incomplete head were searched for its end.
    scanned: usize,
    /// The head of the current request, while its body is incomplete.
    head: Option<RequestHead>,
    /// The headers of the current request.
    headers: HeaderMap,
    /// The memory of a body that arrives in pieces.
    reservation: Option<Reservation<'a>>,
    /// The body of the current response.
    body: Vec<u8>,
    responses: Vec<u8>,
    /// How many bytes of the responses are written.
    written: usize,
    next: Next,
    is_enabled: bool,
    /// Whether a publish was answered on this connection.
    has_answered: bool,
    /// When the connection was accepted, or the last request answered.
    idle_since: Instant,
    /// When the unread request began.
    begun_at: Option<Instant>,
    /// When the head of the current request was complete; `None` if nobody needs to know.
    head_at: Option<Instant>,
    header_timeout: Duration,
    body_timeout: Duration,
    idle_timeout: Duration,
    /// The configuration of the current request.
    config: Arc<Config>,
    timer: LazyTimer,
}

impl<'a> PublishConnection<'a> {
    fn new(socket: Socket, app: &'a App, info: &'a ConnectionInfo) -> Self {
        let config = app.config.snapshot();
        Self {
            app,
            info,
            socket,
            unread: Vec::new(),
            scanned: 0,
            head: None,
            headers: HeaderMap::new(),
            reservation: None,
            body: Vec::new(),
            responses: Vec::new(),
            written: 0,
            next: Next::Read,
            is_enabled: true,
            has_answered: false,
            idle_since: Instant::now(),
            begun_at: None,
            head_at: None,
            header_timeout: config.header_timeout,
            body_timeout: config.body_timeout,
            idle_timeout: config.idle_timeout,
            config,
            timer: LazyTimer::default(),
        }
    }

    async fn run(&mut self, mut stopping: Pin<&mut impl Future<Output = ()>>) -> ConnectionExit {
        let mut is_stopping = false;
        loop {
            // Responses first: the hub reads no more from a client that does not read.
            if poll_fn(|context| self.poll_write(context)).await.is_err() {
                return ConnectionExit::Closed;
            }
            match self.next {
                Next::Read => {}
                Next::HandOver => return self.hand_over(),
                Next::Close => {
                    // The client may have gone.
                    let _ = poll_fn(|context| Pin::new(&mut self.socket).poll_shutdown(context)).await;
                    return ConnectionExit::Closed;
                }
            }
            let wait = poll_fn(|context| {
                if let Poll::Ready(wait) = self.poll_read(context) {
                    return Poll::Ready(wait);
                }
                is_stopping = is_stopping || stopping.as_mut().poll(context).is_ready();
                if is_stopping { self.poll_stopped(context).map(Wait::Exit) } else { Poll::Pending }
            });
            match wait.await {
                Wait::Exit(ConnectionExit::HandOver) => return self.hand_over(),
                Wait::Exit(ConnectionExit::Closed) => return ConnectionExit::Closed,
                Wait::BodyOverdue => {
                    self.respond(Err(too_slow()), false).await;
                    self.next = Next::Close;
                }
                Wait::Read => {
                    self.info.activity.set_busy();
                    {
                        // In a box, so that a connection that waits for its client needs no memory for it.
                        let mut answering = Box::pin(self.answer_all());
                        poll_fn(|context| {
                            // Requests that arrived together notify each channel once.
                            let _batch = NotifyBatch::begin();
                            answering.as_mut().poll(context)
                        })
                        .await;
                    }
                    if self.head.is_none() {
                        self.info.activity.set_idle();
                    }
                }
            }
        }
    }

    /// Leaves the unread bytes to hyper.
    fn hand_over(&mut self) -> ConnectionExit {
        if let Some(expect) = self.head.take().and_then(|head| head.expect) {
            // The client was asked for the body already.
            self.unread[expect].fill(b' ');
        }
        ConnectionExit::HandOver
    }

    /// Waits until a connection of a hub that stops may end.
    fn poll_stopped(&mut self, context: &mut Context<'_>) -> Poll<ConnectionExit> {
        // hyper lets a request that has begun come to its end.
        if !self.unread.is_empty() {
            return Poll::Ready(ConnectionExit::HandOver);
        }
        // A client that has just connected would take a close for a failure, and a proxy for a 502.
        if !self.has_answered {
            ready!(self.timer.poll(context, Some(self.idle_since + FIRST_REQUEST_GRACE)));
        }
        Poll::Ready(ConnectionExit::Closed)
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        while self.written < self.responses.len() {
            match Pin::new(&mut self.socket).poll_write(context, &self.responses[self.written..])? {
                Poll::Ready(0) => return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into())),
                Poll::Ready(written) => self.written += written,
                Poll::Pending if self.info.activity.poll_evicted(context) => {
                    return Poll::Ready(Err(std::io::ErrorKind::ConnectionAborted.into()));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        self.written = 0;
        self.responses.clear();
        self.responses.shrink_to(RESPONSE_BYTES_KEPT);
        self.body.shrink_to(RESPONSE_BYTES_KEPT);
        Poll::Ready(Ok(()))
    }

    /// Reads available bytes, or waits for them.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Wait> {
        let mut buffer = READ_BUFFER.take();
        buffer.resize(REQUEST_BYTES_MAX, 0);
        let mut read = ReadBuf::new(&mut buffer);
        let polled = Pin::new(&mut self.socket).poll_read(context, &mut read);
        let is_end = read.filled().is_empty();
        self.unread.extend_from_slice(read.filled());
        READ_BUFFER.set(buffer);
        match polled {
            Poll::Ready(Ok(())) if !is_end => return Poll::Ready(Wait::Read),
            // The client has closed its side, perhaps within a request.
            Poll::Ready(Ok(())) if !self.unread.is_empty() => return Poll::Ready(Wait::Exit(ConnectionExit::HandOver)),
            Poll::Ready(_) => return Poll::Ready(Wait::Exit(ConnectionExit::Closed)),
            Poll::Pending => {}
        }
        if self.info.activity.poll_evicted(context) {
            if !self.socket.has_unread() {
                return Poll::Ready(Wait::Exit(ConnectionExit::Closed));
            }
            // The runtime has not reported the request yet; it is read when it does.
            self.info.activity.set_busy();
            self.info.activity.set_idle();
        }
        self.poll_overdue(context)
    }

    /// Waits until the connection is idle for too long, or the request that has begun is overdue. If hyper takes the
    /// connection over, it counts from the same moment.
    fn poll_overdue(&mut self, context: &mut Context<'_>) -> Poll<Wait> {
        let (since, time_limit) = match (self.head_at, self.begun_at) {
            (Some(head_at), _) => (head_at, self.body_timeout),
            (None, Some(begun_at)) => (begun_at, self.header_timeout),
            (None, None) if self.has_answered => (self.idle_since, self.idle_timeout),
            (None, None) => (self.idle_since, self.header_timeout),
        };
        ready!(self.timer.poll(context, since.checked_add(time_limit)));
        Poll::Ready(if self.head.is_some() {
            Wait::BodyOverdue
        } else if self.unread.is_empty() {
            Wait::Exit(ConnectionExit::Closed)
        } else {
            Wait::Exit(ConnectionExit::HandOver)
        })
    }

    /// Answers every complete request, and keeps the rest.
    async fn answer_all(&mut self) {
        let bytes = mem::take(&mut self.unread);
        let mut rest = &bytes[..];
        while !rest.is_empty() && self.next == Next::Read {
            match self.answer(rest).await {
                Ok(len) => {
                    rest = &rest[len..];
                    self.has_answered = true;
                    self.begun_at = None;
                }
                Err(NotPlain::Incomplete) => break,
                Err(NotPlain::Unsupported) => self.next = Next::HandOver,
            }
        }
        let now = Instant::now();
        if rest.len() < bytes.len() {
            self.idle_since = now;
        }
        if rest.is_empty() {
            return;
        }
        self.begun_at.get_or_insert(now);
        if self.head.is_some() {
            self.head_at.get_or_insert(now);
        }
        self.unread = if rest.len() < bytes.len() { rest.to_vec() } else { bytes };
    }

    /// Answers the first request, if it is complete. Returns its length.
    async fn answer(&mut self, bytes: &[u8]) -> Result<usize, NotPlain> {
        let head = match self.head.take() {
            Some(head) => head,
            None => self.begin(bytes)?,
        };
        let len = head.request_len();
        let Some(body) = bytes.get(head.len..len) else {
            if self.reservation.is_none() {
                self.reservation = self.app.bodies.reserve(head.body_len).ok();
            }
            let may_wait = self.reservation.is_some();
            self.head = Some(head);
            return Err(if may_wait { NotPlain::Incomplete } else { NotPlain::Unsupported });
        };
        let query = str::from_utf8(&bytes[head.query]).unwrap_or_default();
        self.body.clear();
        let outcome = publish(&self.app.hub, &self.headers, query, body, &mut self.body).await;
        self.respond(outcome, head.is_last).await;
        self.reservation = None;
        if head.is_last {
            self.next = Next::Close;
        }
        Ok(len)
    }

    /// Parses the head of a request, checks it, and asks the client for the body if it waits for that.
    fn begin(&mut self, bytes: &[u8]) -> Result<RequestHead, NotPlain> {
        if !self.is_enabled {
            return Err(NotPlain::Unsupported);
        }
        let may_be_complete = request::may_be_complete(bytes, mem::replace(&mut self.scanned, bytes.len()));
        if !may_be_complete && bytes.len() < REQUEST_BYTES_MAX {
            return Err(NotPlain::Incomplete);
        }
        let head = request::parse(bytes, &mut self.headers)?;
        self.scanned = 0;
        self.app.config.refresh(&mut self.config);
        let auth = &self.app.auth;
        auth.check(&self.config.access, Permission::Publish, &self.headers).map_err(|_| NotPlain::Unsupported)?;
        self.head_at = access_log::is_on().then(Instant::now);
        if head.expect.is_some() && head.body_len > 0 {
            self.responses.extend_from_slice(response::CONTINUE);
        }
        Ok(head)
    }

    /// Appends the response to the current request.
    async fn respond(&mut self, outcome: Result<(), Problem>, is_last: bool) {
        let (status, len) = if outcome.is_ok() {
            self.responses.extend_from_slice(response::PUBLISHED);
            // The iterator costs something even if it is empty.
            if !self.config.access.cors_origins.is_empty() {
                for (name, value) in cors::page_headers(&self.config.access, &self.headers) {
                    response::put_header(&mut self.responses, &name, &value);
                }
            }
            response::put_rest(&mut self.responses, &self.body, is_last);
            (StatusCode::OK, self.body.len())
        } else {
            let mut response = respond(outcome, Vec::new());
            response.headers_mut().extend(cors::page_headers(&self.config.access, &self.headers));
            (response.status(), response::put(&mut self.responses, response, is_last).await)
        };
        if let Some(head_at) = self.head_at.take().filter(|_| access_log::is_on()) {
            let bytes = Some(len as u64);
            access_log::write(&self.info.origin, &Method::POST, PATH, status.as_u16(), bytes, head_at.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderValue;
    use tidecast_serve::{ConnectionOrigin, internals::RawSocket};
    use tokio::{
        io::AsyncWriteExt,
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::config::{Secret, Settings};

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

    async fn app(change: impl FnOnce(&mut Config)) -> Arc<App> {
        let mut config = Config::from_settings(&Settings::default()).unwrap();
        change(&mut config);
        App::new(config, "127.0.0.1:8000".parse().unwrap(), Arc::default()).unwrap()
    }

    /// Has a new connection answer the first request of some bytes. Returns its length, and the bytes of the response.
    async fn answer(app: &App, bytes: &[u8]) -> Result<(usize, String), NotPlain> {
        let (socket, _theirs) = socket().await;
        let info = info();
        let mut connection = PublishConnection::new(socket, app, &info);
        let len = connection.answer(bytes).await?;
        Ok((len, String::from_utf8(connection.responses).unwrap()))
    }

    /// A client cannot tell which requests the fast path answers, so this test shows it.
    #[tokio::test]
    async fn publishes_are_answered_and_others_are_not() {
        let app =
            app(|config| config.access.cors_origins = vec![HeaderValue::from_static("https://app.example")]).await;
        let data = r#"{"data":"x"}"#;
        let plain = request("", data);
        for headers in [
            "",
            "Accept: */*\r\nUser-Agent: a program\r\n",
            "Connection: Keep-Alive\r\n",
            "Connection: close\r\n",
            "Expect: 100-continue\r\n",
            "Origin: https://app.example\r\n",
            "TE: trailers\r\n",
        ] {
            let bytes = request(headers, data);
            let (len, response) = answer(&app, &[&bytes[..], &plain[..]].concat()).await.unwrap();
            assert_eq!(len, bytes.len(), "{headers}");
            assert_eq!(response.contains("\r\nconnection: close\r\n"), headers.contains("close"), "{response}");
            assert_eq!(response.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 "), headers.contains("100"));
            let is_allowed = response.contains("\r\naccess-control-allow-origin: https://app.example\r\n");
            assert_eq!(is_allowed, headers.contains("Origin"), "{response}");
        }
        for len in 1..plain.len() {
            assert_eq!(answer(&app, &plain[..len]).await, Err(NotPlain::Incomplete), "{len}");
        }
        for (body, status) in [("[1]", 400), ("{}", 400), (r#"[{"data":"x"},{"data":"y"}]"#, 200)] {
            let (_, response) = answer(&app, &request("", body)).await.unwrap();
            assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
        }
        let text = b"POST /publish?channel=c HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\nx";
        assert!(answer(&app, text).await.unwrap().1.contains(r#"{"channel":"c""#));

        for headers in [
            "Connection: upgrade\r\n",
            "Content-Length: 12\r\n",
            "Expect: 200-ok\r\n",
            "Host: localhost\r\n",
            "Origin: https://other.example\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Upgrade: websocket\r\n",
            "a b: c\r\n",
        ] {
            assert_eq!(answer(&app, &request(headers, data)).await, Err(NotPlain::Unsupported), "{headers}");
        }
        for bytes in [
            &request("", &"x".repeat(REQUEST_BYTES_MAX))[..],
            b"GET /publish HTTP/1.1\r\n",
            b"POST /publish HTTP/1.0\r\n\r\n",
            b"POST /publishes HTTP/1.1\r\n\r\n",
            b"POST /publish?a#b HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(answer(&app, bytes).await, Err(NotPlain::Unsupported), "{}", bytes.escape_ascii());
        }
        app.hub.close();
        assert!(answer(&app, &plain).await.unwrap().1.starts_with("HTTP/1.1 503 "));
    }

    /// A connection that was accepted just before the hub began to stop was closed before its first request, and a proxy made
    /// that a 502, which closes an `EventSource` for good.
    #[tokio::test(start_paused = true)]
    async fn a_new_connection_may_send_a_request_while_the_hub_stops() {
        let app = app(|_| {}).await;
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

    /// A request that arrived byte by byte was copied and parsed from the beginning at each byte, so it was left to hyper.
    #[tokio::test]
    async fn a_request_in_many_pieces_is_answered() {
        let app = app(|_| {}).await;
        let (socket, _theirs) = socket().await;
        let info = info();
        let mut connection = PublishConnection::new(socket, &app, &info);
        let bytes = request("Expect: 100-continue\r\n", r#"{"data":"x"}"#);
        for (at, byte) in [&bytes[..], &bytes[..], b"P"].concat().into_iter().enumerate() {
            connection.unread.push(byte);
            connection.answer_all().await;
            let left = (at + 1) % bytes.len();
            assert!(connection.next == Next::Read && connection.unread.len() == left, "{at}");
            assert_eq!(connection.begun_at.is_some(), left > 0);
            assert!(connection.scanned <= left);
        }
        let responses = String::from_utf8(connection.responses.clone()).unwrap();
        for (part, count) in [("HTTP/1.1 100 ", 2), ("HTTP/1.1 200 ", 2)] {
            assert_eq!(responses.matches(part).count(), count, "{responses}");
        }
        assert!(connection.reservation.is_none());
        assert!(app.bodies.reserve(app.config.snapshot().bodies_bytes_max).is_ok(), "no memory of a body is left");
    }

    /// The client was asked for the body again by hyper.
    #[tokio::test]
    async fn a_client_is_asked_for_a_body_once() {
        let app = app(|_| {}).await;
        let (socket, _theirs) = socket().await;
        let info = info();
        let mut connection = PublishConnection::new(socket, &app, &info);
        let bytes = request("Expect: 100-continue\r\n", r#"{"data":"x"}"#);
        connection.unread = bytes[..bytes.len() - 3].to_vec();
        connection.answer_all().await;
        assert_eq!(connection.responses, response::CONTINUE);
        connection.hand_over();
        let unread = String::from_utf8(connection.unread).unwrap();
        assert!(unread.contains("Expect: ") && !unread.contains("100-continue"), "{unread}");
    }

    /// Each request uses the configuration in force, not only the first of a connection.
    #[tokio::test]
    async fn a_connection_follows_the_configuration() {
        let app = app(|_| {}).await;
        let (socket, _theirs) = socket().await;
        let info = info();
        let mut connection = PublishConnection::new(socket, &app, &info);
        let bytes = request("", r#"{"data":"x"}"#);
        assert!(connection.answer(&bytes).await.is_ok());
        let mut changed = Config::clone(&app.config.snapshot());
        changed.access.publish_key = Some(Secret::new("key"));
        app.config.replace(changed);
        assert!(connection.answer(&bytes).await.is_err());
    }
}
