//! A connection to the hub, and a request on it.
//!
//! A publish that may be repeated waits with its body for the hub's `100 Continue`: a hub that stops reads no more
//! requests, but answers those whose body it has begun to read. So a connection that dies before the body left it
//! leaves nothing in doubt; see [`ConnectionLost::in_doubt`].

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
    ext::on_informational,
};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::{net::TcpStream, sync::Notify, time::timeout};

use crate::cmd::HubArguments;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an answer may take. Longer than the hub lets a body take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(40);

/// How long a body waits to be asked for. Who does not know `100-continue` gets it after that.
const CONTINUE_TIMEOUT: Duration = Duration::from_secs(1);

/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// After how long in silence the system asks whether the hub is still there.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// A connection to the hub.
#[derive(Debug)]
pub(crate) struct HubConnection {
    sender: SendRequest<RequestBody>,
}

/// An answer that was read whole.
#[derive(Debug)]
pub(crate) struct HubResponse {
    pub(crate) head: http::response::Parts,
    pub(crate) body: Bytes,
}

/// The hub could not be reached.
#[derive(Debug)]
pub(crate) struct Unreachable(String);

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreachable {}

/// A connection died before the answer was there.
#[derive(Debug)]
pub(crate) struct ConnectionLost {
    /// The request's body had begun to leave, so that the hub may have acted on it.
    pub(crate) in_doubt: bool,
    why: String,
}

impl fmt::Display for ConnectionLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the connection was cut: {}", self.why)
    }
}

impl std::error::Error for ConnectionLost {}

impl HubConnection {
    /// Connects to the hub.
    pub(crate) async fn open(hub: &HubArguments) -> Result<Self, Unreachable> {
        let url = &hub.url;
        let unreachable = |why: &dyn fmt::Display, advice: &str| {
            Unreachable(format!("failed to reach the hub at {url}: {why}{advice}"))
        };
        let socket = match timeout(CONNECT_TIMEOUT, TcpStream::connect((url.host(), url.port()))).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                let advice = "; is it running? `tidecast serve` starts one here, --url or TIDECAST_URL names another";
                return Err(unreachable(&"connection refused", advice));
            }
            Ok(Err(error)) => return Err(unreachable(&error, "; --url or TIDECAST_URL says where it is")),
            Err(_) => return Err(unreachable(&"no answer", "; --url or TIDECAST_URL says where it is")),
        };
        let set_up = || {
            socket.set_nodelay(true)?;
            // So that a hub whose machine vanished is noticed where nothing is sent to it.
            let keep_alive = TcpKeepalive::new().with_time(SILENCE_MAX).with_interval(SILENCE_MAX / 3);
            SockRef::from(&socket).set_tcp_keepalive(&keep_alive)
        };
        set_up().map_err(|error: std::io::Error| unreachable(&error, ""))?;
        let (sender, connection) = handshake(TokioIo::new(socket)).await.map_err(|error| unreachable(&error, ""))?;
        // It ends with the sender, or with the hub's end; whoever waits for an answer is told.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender })
    }

    /// Whether the hub has closed it, as far as is known.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends a request, and reads the head of the answer.
    pub(crate) async fn begin(&mut self, request: Request<RequestBody>) -> Result<Response<Incoming>, ConnectionLost> {
        let left = request.body().left.clone();
        let cut = |why: String| ConnectionLost { in_doubt: left.load(Ordering::SeqCst), why };
        self.sender.ready().await.map_err(|error| cut(reason(&error)))?;
        match timeout(ANSWER_TIMEOUT, self.sender.send_request(request)).await {
            Ok(answered) => answered.map_err(|error| cut(reason(&error))),
            Err(_) => Err(cut(format!("no answer within {ANSWER_TIMEOUT:?}"))),
        }
    }

    /// Sends a request, and reads all of the answer.
    pub(crate) async fn ask(&mut self, request: Request<RequestBody>) -> Result<HubResponse, ConnectionLost> {
        let left = request.body().left.clone();
        let cut = |why: String| ConnectionLost { in_doubt: left.load(Ordering::SeqCst), why };
        let (head, body) = self.begin(request).await?.into_parts();
        match timeout(ANSWER_TIMEOUT, Limited::new(body, ANSWER_BYTES_MAX).collect()).await {
            Ok(Ok(body)) => Ok(HubResponse { head, body: body.to_bytes() }),
            Ok(Err(error)) => Err(cut(error.to_string())),
            Err(_) => Err(cut(format!("no end of the answer within {ANSWER_TIMEOUT:?}"))),
        }
    }
}

/// What went wrong, with what was below it: hyper's own words alone say little.
fn reason(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// A request to the hub.
pub(crate) fn request(hub: &HubArguments, method: Method, target: &str, body: RequestBody) -> Request<RequestBody> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = hub.url.target(target).parse().expect("a target is made of encoded parts");
    let headers = request.headers_mut();
    let host = HeaderValue::from_str(hub.url.authority()).expect("what was parsed as an authority is visible ASCII");
    headers.insert(header::HOST, host);
    headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("tidecast/", env!("CARGO_PKG_VERSION"))));
    if let Some(key) = hub.authorization() {
        headers.insert(header::AUTHORIZATION, key);
    }
    request
}

/// A publish of JSON. One that `waits` keeps its body until the hub asks for it.
pub(crate) fn publish(hub: &HubArguments, body: impl Into<Bytes>, waits: bool) -> Request<RequestBody> {
    let body = RequestBody::new(body.into());
    let asked = Arc::new(Notify::new());
    let body = if waits { body.that_waits_for(asked.clone()) } else { body };
    let mut request = request(hub, Method::POST, "/publish", body);
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if waits {
        request.headers_mut().insert(header::EXPECT, HeaderValue::from_static("100-continue"));
        on_informational(&mut request, move |_| asked.notify_one());
    }
    request
}

/// A request's body: bytes, and whether they have left.
pub(crate) struct RequestBody {
    bytes: Option<Bytes>,
    waits: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    pub(crate) left: Arc<AtomicBool>,
}

impl RequestBody {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { bytes: Some(bytes).filter(|bytes| !bytes.is_empty()), waits: None, left: Arc::default() }
    }

    fn that_waits_for(self, asked: Arc<Notify>) -> Self {
        let asked = async move {
            let _ = timeout(CONTINUE_TIMEOUT, asked.notified()).await;
        };
        Self { waits: Some(Box::pin(asked)), ..self }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(waits) = &mut self.waits {
            ready!(waits.as_mut().poll(context));
            self.waits = None;
        }
        self.left.store(true, Ordering::SeqCst);
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
