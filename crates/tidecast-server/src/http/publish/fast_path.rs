//! Publishes that are answered before hyper is set up.
//!
//! A program that publishes a lot sends one plain `POST /publish` after the other on a connection. Parsing that and
//! publishing it costs less than what a general server does around each request, so as long as a connection says nothing
//! else it is served here: the head by the parser that hyper has, and then by the same functions, [`Auth`] and
//! [`publish`], as any other request. Whatever is not such a request, or would be refused, is left to hyper as it came,
//! and so is all that follows it: no refusal is written here, and nothing is decided that is decided elsewhere.
//!
//! Not with a broker that may have to wait, nor where pages of other origins may publish, whose answers say more. A
//! request is answered once it is here whole; 64 KiB is the most of it.
//!
//! [`Auth`]: crate::auth::Auth

use std::{
    cell::Cell,
    future::poll_fn,
    io::Write,
    mem::MaybeUninit,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::SystemTime,
};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tidecast::{Published, internals::NotifyBatch};
use tidecast_axum::internals::LazyTimer;
use tidecast_serve::{ConnectionInfo, EarlyProtocol, ReadAhead, Socket};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use crate::{
    app::App,
    auth::Permission,
    http::{
        publish::{self, PublishRequest, answer::put_answer},
        router::PUBLISH,
    },
    limits::FIRST_REQUEST_GRACE,
    observe::access_log,
};

/// How a request begins that may be answered here.
const BEGINNING: &[u8] = b"POST /publish HTTP/1.1\r\n";

/// Most bytes of a request, and of what is read at once.
const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// Most headers of a request.
const HEADERS_MAX: usize = 32;

/// In how many pieces a request may come to be answered here. Each is parsed from the beginning, which hyper does not do.
const PIECES_MAX: u32 = 8;

thread_local! {
    /// What is read into, for whichever connection is polled: one that waits has no buffer of its own.
    static READ_BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static NOW: Cell<Option<HttpDate>> = const { Cell::new(None) };
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
        // A client that has just connected takes a close for a failure, and a proxy for a 502.
        let mut grace = LazyTimer::default();
        let mut stops = false;
        let left = poll_fn(|context| {
            if let Poll::Ready(left) = connection.poll(context) {
                return Poll::Ready(left);
            }
            if activity.poll_evicted(context) {
                if !connection.has_unread_request() {
                    return Poll::Ready(Exit::Closed);
                }
                // It is read once the runtime has noticed it.
                activity.set_busy();
                activity.set_idle();
            }
            stops = stops || stopping.as_mut().poll(context).is_ready();
            if !stops {
                return Poll::Pending;
            }
            // Whoever is in the middle of a request is let down as gently as hyper does it.
            if !connection.unread.is_empty() {
                return Poll::Ready(Exit::HandOver);
            }
            if !connection.publishes {
                ready!(grace.poll(context, Some(connection.idle_since + FIRST_REQUEST_GRACE)));
            }
            Poll::Ready(Exit::Closed)
        });
        match left.await {
            Exit::Closed => None,
            Exit::HandOver => {
                let PublishConnection { socket, unread, begun_at, .. } = connection;
                Some(ReadAhead { socket, unread: unread.into(), begun_at })
            }
        }
    }
}

/// How it is left.
enum Exit {
    /// The client has gone, or said nothing for too long.
    Closed,
    /// What is unread is for hyper.
    HandOver,
}

struct PublishConnection<'a> {
    app: &'a App,
    info: &'a ConnectionInfo,
    socket: Socket,
    /// The beginning of a request, or what is left to others.
    unread: Vec<u8>,
    answers: Vec<u8>,
    /// How much of the answers is written.
    written: usize,
    leaves: bool,
    /// Whether anything is answered here at all.
    answers_here: bool,
    /// Whether it has published here before.
    publishes: bool,
    headers: HeaderMap,
    /// An answer's body, while it is written.
    body: Vec<u8>,
    /// When it was last at rest: accepted, or answered.
    idle_since: Instant,
    /// When the request that is unread began, and how many pieces of it have come.
    begun_at: Option<Instant>,
    pieces: u32,
    timer: LazyTimer,
}

/// What a request is.
#[derive(Debug, PartialEq, Eq)]
enum Parsed {
    /// A publish of so many bytes, which was answered.
    Answered(usize),
    /// It is not all here.
    Incomplete,
    /// It is not one for here.
    Unsupported,
}

impl<'a> PublishConnection<'a> {
    fn new(socket: Socket, app: &'a App, info: &'a ConnectionInfo) -> Self {
        Self {
            app,
            info,
            socket,
            unread: Vec::new(),
            answers: Vec::new(),
            written: 0,
            leaves: false,
            answers_here: app.broker.publishes_at_once(),
            publishes: false,
            headers: HeaderMap::new(),
            body: Vec::new(),
            idle_since: Instant::now(),
            begun_at: None,
            pieces: 0,
            timer: LazyTimer::default(),
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Exit> {
        loop {
            // First the answers, so that a client which does not read them is not read either.
            if ready!(self.poll_write(context)).is_err() {
                return Poll::Ready(Exit::Closed);
            }
            if self.leaves {
                return Poll::Ready(Exit::HandOver);
            }
            let mut buffer = READ_BUFFER.take();
            buffer.resize(REQUEST_BYTES_MAX, 0);
            let read = self.poll_read(context, &mut buffer);
            READ_BUFFER.set(buffer);
            if let Some(left) = ready!(read) {
                return Poll::Ready(left);
            }
        }
    }

    /// Asks the system whether bytes wait to be read of a client that has read all answers so far.
    fn has_unread_request(&self) -> bool {
        self.answers.is_empty() && self.socket.has_unread()
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        while self.written < self.answers.len() {
            match ready!(Pin::new(&mut self.socket).poll_write(context, &self.answers[self.written..]))? {
                0 => return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        self.written = 0;
        self.answers.clear();
        Poll::Ready(Ok(()))
    }

    /// Reads what there is, and answers what it can of that.
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Option<Exit>> {
        let before = self.unread.len();
        buffer[..before].copy_from_slice(&self.unread);
        let mut buffer = ReadBuf::new(buffer);
        buffer.set_filled(before);
        match Pin::new(&mut self.socket).poll_read(context, &mut buffer) {
            Poll::Pending => return self.poll_overdue(context).map(Some),
            Poll::Ready(Err(_)) => return Poll::Ready(Some(Exit::Closed)),
            Poll::Ready(Ok(())) => {}
        }
        let bytes = buffer.filled();
        if bytes.len() == before {
            // The end: of nothing, or in the middle of a request.
            return Poll::Ready(Some(if before == 0 { Exit::Closed } else { Exit::HandOver }));
        }
        self.info.activity.set_busy();
        self.answer_all(bytes);
        self.info.activity.set_idle();
        Poll::Ready(None)
    }

    fn answer_all(&mut self, bytes: &[u8]) {
        // Requests that came together ring each channel once.
        let _held = NotifyBatch::begin();
        let now = Instant::now();
        let mut rest = bytes;
        self.pieces += 1;
        while !rest.is_empty() {
            match self.take(rest) {
                Parsed::Answered(len) => {
                    self.publishes = true;
                    rest = &rest[len..];
                    self.idle_since = now;
                    self.begun_at = None;
                    self.pieces = 1;
                }
                // Who sends a request in pieces is served by hyper. Where many come together the last is cut anywhere.
                Parsed::Incomplete if self.publishes && self.pieces < PIECES_MAX && rest.len() < REQUEST_BYTES_MAX => {
                    break;
                }
                Parsed::Incomplete | Parsed::Unsupported => {
                    self.leaves = true;
                    break;
                }
            }
        }
        if rest.is_empty() {
            self.pieces = 0;
        } else {
            self.begun_at.get_or_insert(now);
        }
        self.unread.clear();
        self.unread.extend_from_slice(rest);
    }

    /// Answers a request, if it is here whole, plain, and has nothing wrong with it.
    fn take(&mut self, bytes: &[u8]) -> Parsed {
        if !self.answers_here || !self.app.settings.read().access.cors_origins.is_empty() {
            return Parsed::Unsupported;
        }
        if !bytes.starts_with(BEGINNING) {
            return if BEGINNING.starts_with(bytes) { Parsed::Incomplete } else { Parsed::Unsupported };
        }
        let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let mut head = httparse::Request::new(&mut []);
        let head_len = match head.parse_with_uninit_headers(bytes, &mut headers) {
            Ok(httparse::Status::Complete(len)) => len,
            Ok(httparse::Status::Partial) => return Parsed::Incomplete,
            Err(_) => return Parsed::Unsupported,
        };
        self.headers.clear();
        let Some(body_len) = read_headers(head.headers, &mut self.headers) else { return Parsed::Unsupported };
        let len = head_len.saturating_add(body_len);
        if len > REQUEST_BYTES_MAX {
            return Parsed::Unsupported;
        }
        let Some(body) = bytes.get(head_len..len) else { return Parsed::Incomplete };
        let begun_at = access_log::is_on().then(Instant::now);
        match self.publish(body) {
            Some(published) => {
                self.put_answer(&published);
                if let Some(begun_at) = begun_at {
                    let bytes = Some(self.body.len() as u64);
                    access_log::write(&self.info.origin, &Method::POST, PUBLISH, 200, bytes, begun_at.elapsed());
                }
                Parsed::Answered(len)
            }
            None => Parsed::Unsupported,
        }
    }

    fn publish(&self, body: &[u8]) -> Option<Published> {
        self.app.auth.check(Permission::Publish, "", &self.headers).ok()?;
        match publish::read(&self.app.hub, &self.headers, "", body).ok()? {
            // One that may be a 409 is for others.
            PublishRequest::Single(item) if !item.refuses_conflict => {
                self.app.hub.publish_publication_now(&item.publication).ok()
            }
            PublishRequest::Single(_) | PublishRequest::Batch(_) => None,
        }
    }

    /// Writes what hyper would.
    fn put_answer(&mut self, published: &Published) {
        self.body.clear();
        put_answer(&mut self.body, published);
        let answers = &mut self.answers;
        answers.extend_from_slice(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
            x-content-type-options: nosniff\r\ncontent-length: ",
        );
        let _ = write!(answers, "{}", self.body.len());
        answers.extend_from_slice(b"\r\ndate: ");
        answers.extend_from_slice(&HttpDate::now().text);
        answers.extend_from_slice(b"\r\n\r\n");
        answers.extend_from_slice(&self.body);
    }

    /// Waits until the connection was idle for too long, or the request that has begun is overdue; hyper, which then has it,
    /// counts from the same moment.
    fn poll_overdue(&mut self, context: &mut Context<'_>) -> Poll<Exit> {
        let config = &self.app.config;
        let due = match self.begun_at {
            Some(begun_at) => begun_at.checked_add(config.header_timeout),
            None if self.publishes => self.idle_since.checked_add(config.idle_timeout),
            None => self.idle_since.checked_add(config.header_timeout),
        };
        let left = if self.unread.is_empty() { Exit::Closed } else { Exit::HandOver };
        self.timer.poll(context, due).map(|()| left)
    }
}

/// Reads a request's headers; answers with its body's length, or `None` where it is not a plain request.
fn read_headers(headers: &[httparse::Header<'_>], map: &mut HeaderMap) -> Option<usize> {
    let mut body_len = None;
    for header in headers {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        let value = HeaderValue::from_bytes(header.value).ok()?;
        match name {
            http::header::CONTENT_LENGTH => {
                let digits = header.value.iter().all(u8::is_ascii_digit);
                let len = str::from_utf8(header.value).ok().filter(|_| digits)?.parse().ok()?;
                if body_len.replace(len).is_some() {
                    return None;
                }
            }
            http::header::CONNECTION if !header.value.eq_ignore_ascii_case(b"keep-alive") => return None,
            http::header::CONNECTION => {}
            // What changes how the request is read, or the answer written. Pages say where they are from.
            http::header::EXPECT
            | http::header::ORIGIN
            | http::header::TE
            | http::header::TRAILER
            | http::header::TRANSFER_ENCODING
            | http::header::UPGRADE => return None,
            _ => {}
        }
        map.append(name, value);
    }
    body_len
}

/// A second, as a `Date` header has it.
#[derive(Clone, Copy)]
struct HttpDate {
    second: u64,
    text: [u8; 29],
}

impl HttpDate {
    fn now() -> Self {
        let now = SystemTime::now();
        let second = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if let Some(date) = NOW.get().filter(|date| date.second == second) {
            return date;
        }
        let mut text = [b' '; 29];
        // Twenty-nine characters, for some thousand years more.
        let _ = write!(&mut text[..], "{}", httpdate::fmt_http_date(now));
        let date = Self { second, text };
        NOW.set(Some(date));
        date
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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

    /// From outside nobody can tell which requests are answered here, so that it is told here.
    #[tokio::test]
    async fn plain_publishes_are_answered_here_and_others_are_not() {
        let config = Config::from_settings(&Settings::default()).unwrap();
        let app = App::new(config, "127.0.0.1:8000".parse().unwrap(), Arc::default()).unwrap();
        let (socket, _theirs) = socket().await;
        let info = info();
        let mut connection = PublishConnection::new(socket, &app, &info);
        let data = r#"{"data":"x"}"#;
        let plain = request("", data);
        let mut taken = |bytes: &[u8]| connection.take(bytes);
        for headers in ["", "Accept: */*\r\nUser-Agent: a program\r\n", "Connection: Keep-Alive\r\n"] {
            let bytes = request(headers, data);
            assert_eq!(taken(&bytes), Parsed::Answered(bytes.len()), "{headers}");
            assert_eq!(taken(&[&bytes[..], &plain[..]].concat()), Parsed::Answered(bytes.len()), "{headers}");
        }
        for len in 1..plain.len() {
            assert_eq!(taken(&plain[..len]), Parsed::Incomplete, "{len}");
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
            assert_eq!(taken(&request(headers, data)), Parsed::Unsupported, "{headers}");
        }
        assert_eq!(taken(&request("", "[1]")), Parsed::Unsupported);
        assert_eq!(taken(&request("", "{}")), Parsed::Unsupported);
        assert_eq!(taken(&request("", &"x".repeat(REQUEST_BYTES_MAX))), Parsed::Unsupported);
        assert_eq!(taken(b"GET /publish HTTP/1.1\r\n"), Parsed::Unsupported);
        assert_eq!(taken(b"POST /publish HTTP/1.0\r\n\r\n"), Parsed::Unsupported);
        assert_eq!(taken(b"POST /publish?last=1 HTTP/1.1\r\n\r\n"), Parsed::Unsupported);
        app.hub.close();
        assert_eq!(taken(&plain), Parsed::Unsupported);
    }

    /// What was answered here lacked the headers by which caches and pages of other origins are told who may read it.
    #[tokio::test]
    async fn nothing_is_answered_here_where_pages_of_others_may_publish() {
        let mut config = Config::from_settings(&Settings::default()).unwrap();
        config.access.cors_origins = vec![HeaderValue::from_static("https://app.example")];
        let app = App::new(config, "127.0.0.1:8000".parse().unwrap(), Arc::default()).unwrap();
        let (socket, _theirs) = socket().await;
        let plain = request("", r#"{"data":"x"}"#);
        assert_eq!(PublishConnection::new(socket, &app, &info()).take(&plain), Parsed::Unsupported);
    }

    /// A request on a connection that was accepted just before the hub was told to stop was not answered, and a proxy made a
    /// 502 of it, which closes an `EventSource` for good.
    #[tokio::test(start_paused = true)]
    async fn a_connection_that_was_just_accepted_may_still_ask_while_the_hub_stops() {
        let config = Config::from_settings(&Settings::default()).unwrap();
        let app = App::new(config, "127.0.0.1:8000".parse().unwrap(), Arc::default()).unwrap();
        let asked = b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let (ours, mut theirs) = socket().await;
        let (protocol, info) = (PublishProtocol::new(app), info());
        let mut serving = pin!(protocol.serve(ours, &info, std::future::ready(())));
        let once = poll_fn(|context| Poll::Ready(serving.as_mut().poll(context).is_pending()));
        assert!(once.await, "it is waited for");
        theirs.write_all(asked).await.unwrap();
        assert_eq!(serving.await.unwrap().unread, &asked[..]);

        // In vain, and not for longer.
        let (ours, _theirs) = socket().await;
        let begun = Instant::now();
        assert!(protocol.serve(ours, &info, std::future::ready(())).await.is_none());
        assert!((FIRST_REQUEST_GRACE..2 * FIRST_REQUEST_GRACE).contains(&begun.elapsed()));
    }

    #[test]
    fn a_date_is_as_a_header_has_it() {
        let date = HttpDate::now();
        let text = str::from_utf8(&date.text).unwrap();
        let parsed = httpdate::parse_http_date(text).unwrap();
        assert_eq!(parsed.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs(), date.second);
    }

    /// A request of which one byte came at a time was copied and parsed from the beginning at each, for as long as its client
    /// liked.
    #[tokio::test]
    async fn a_request_in_many_pieces_is_left_to_others() {
        let config = Config::from_settings(&Settings::default()).unwrap();
        let app = App::new(config, "127.0.0.1:8000".parse().unwrap(), Arc::default()).unwrap();
        let (socket, _theirs) = socket().await;
        let info = info();
        let mut connection = PublishConnection::new(socket, &app, &info);
        let bytes = request("", r#"{"data":"x"}"#);
        connection.answer_all(&[&bytes[..], b"P"].concat());
        let begun_at = connection.begun_at;
        assert!(connection.publishes && begun_at.is_some());
        // A second one that takes two pieces is answered here.
        connection.answer_all(&bytes);
        assert!(connection.begun_at.is_none() && !connection.leaves);
        for len in 1..=bytes.len() {
            connection.answer_all(&bytes[..len]);
            if connection.leaves {
                assert_eq!(len, PIECES_MAX as usize);
                assert!(connection.begun_at > begun_at);
                return;
            }
        }
        panic!("it was parsed at every byte");
    }
}
