//! Connections to the hub, and requests on them.
//!
//! A publish that may be repeated holds its body back until the hub sends `100 Continue`. A stopping hub reads no more
//! requests, but answers those whose body it has begun to read. So if a connection is lost before the body was sent, the
//! events were certainly not published; see [`ConnectionLost::in_doubt`].

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

use super::HubArguments;

/// Maximum time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum time for a response; longer than the hub gives a body to arrive.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(40);

/// Maximum time that a body waits for `100 Continue`. A server that does not send it gets the body then.
const CONTINUE_TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum size of a response, in bytes.
const RESPONSE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Time without traffic after which the system probes the connection.
const TCP_KEEP_ALIVE: Duration = Duration::from_secs(45);

/// A connection to the hub.
#[derive(Debug)]
pub(crate) struct HubConnection {
    sender: SendRequest<RequestBody>,
}

/// A complete response.
#[derive(Debug)]
pub(crate) struct HubResponse {
    pub(crate) head: http::response::Parts,
    pub(crate) body: Bytes,
}

/// An attempt to connect that failed.
#[derive(Debug)]
pub(crate) struct Unreachable(String);

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreachable {}

/// A connection that was lost before its response was complete.
#[derive(Debug)]
pub(crate) struct ConnectionLost {
    /// Whether the body had begun to be sent, so that the hub may have acted on it.
    pub(crate) in_doubt: bool,
    why: String,
}

impl fmt::Display for ConnectionLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the connection was lost: {}", self.why)
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
            // A hub whose machine vanished is noticed also while nothing is sent to it.
            let keep_alive = TcpKeepalive::new().with_time(TCP_KEEP_ALIVE).with_interval(TCP_KEEP_ALIVE / 3);
            SockRef::from(&socket).set_tcp_keepalive(&keep_alive)
        };
        set_up().map_err(|error: std::io::Error| unreachable(&error, ""))?;
        let (sender, connection) = handshake(TokioIo::new(socket)).await.map_err(|error| unreachable(&error, ""))?;
        // It ends when the sender is dropped or the hub closes it; a pending request then fails.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender })
    }

    /// Returns whether the hub is known to have closed the connection.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends a request, and reads the head of the response.
    pub(crate) async fn begin(&mut self, request: Request<RequestBody>) -> Result<Response<Incoming>, ConnectionLost> {
        let sent = request.body().sent.clone();
        let cut = |why: String| ConnectionLost { in_doubt: sent.load(Ordering::SeqCst), why };
        self.sender.ready().await.map_err(|error| cut(reason(&error)))?;
        match timeout(RESPONSE_TIMEOUT, self.sender.send_request(request)).await {
            Ok(answered) => answered.map_err(|error| cut(reason(&error))),
            Err(_) => Err(cut(format!("no response within {RESPONSE_TIMEOUT:?}"))),
        }
    }

    /// Sends a request, and reads the whole response.
    pub(crate) async fn ask(&mut self, request: Request<RequestBody>) -> Result<HubResponse, ConnectionLost> {
        let sent = request.body().sent.clone();
        let cut = |why: String| ConnectionLost { in_doubt: sent.load(Ordering::SeqCst), why };
        let (head, body) = self.begin(request).await?.into_parts();
        match timeout(RESPONSE_TIMEOUT, Limited::new(body, RESPONSE_BYTES_MAX).collect()).await {
            Ok(Ok(body)) => Ok(HubResponse { head, body: body.to_bytes() }),
            Ok(Err(error)) => Err(cut(error.to_string())),
            Err(_) => Err(cut(format!("the response was incomplete after {RESPONSE_TIMEOUT:?}"))),
        }
    }
}

/// Describes an error of hyper with its cause, which its own message lacks.
fn reason(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Creates a request to the hub.
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

/// Creates a request that publishes JSON.
pub(crate) fn publish(hub: &HubArguments, body: impl Into<Bytes>, expect: Expect) -> Request<RequestBody> {
    let body = RequestBody::new(body.into());
    let waits = expect == Expect::Continue;
    let continued = Arc::new(Notify::new());
    let body = if waits { body.that_waits_for(continued.clone()) } else { body };
    let mut request = request(hub, Method::POST, "/publish", body);
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if waits {
        request.headers_mut().insert(header::EXPECT, HeaderValue::from_static("100-continue"));
        on_informational(&mut request, move |_| continued.notify_one());
    }
    request
}

/// When a request sends its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// With the head.
    Nothing,
    /// When the hub has sent `100 Continue`.
    Continue,
}

/// The body of a request.
pub(crate) struct RequestBody {
    bytes: Option<Bytes>,
    waits: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Whether the body has begun to be sent.
    sent: Arc<AtomicBool>,
}

impl RequestBody {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { bytes: Some(bytes).filter(|bytes| !bytes.is_empty()), waits: None, sent: Arc::default() }
    }

    fn that_waits_for(self, continued: Arc<Notify>) -> Self {
        let continued = async move {
            let _ = timeout(CONTINUE_TIMEOUT, continued.notified()).await;
        };
        Self { waits: Some(Box::pin(continued)), ..self }
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
        self.sent.store(true, Ordering::SeqCst);
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
