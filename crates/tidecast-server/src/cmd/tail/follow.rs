//! Reads streams, one connection after the other, and keeps what an `EventSource` keeps between them.

use std::{io, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tidecast::wire::{Decoder, Item};

use super::{StreamEnd, channel_finder::ChannelFinder, end_of_write, print::Printer};
use crate::cmd::client::{
    HubArguments,
    connection::{HubConnection, RequestBody, request},
    problem::HubProblem,
};

/// The delay before a reconnect if the hub has not set one.
const RETRY_DEFAULT: Duration = Duration::from_secs(3);

/// Maximum size of a response that is not a stream, in bytes.
const PROBLEM_BYTES_MAX: usize = 64 * 1024;

/// A client that follows channels across connections.
#[derive(Debug)]
pub(super) struct Follower {
    hub: HubArguments,
    target: String,
    channel_finder: ChannelFinder,
    retry: Duration,
    /// The id to resume from; empty at first.
    last_event_id: String,
    ever_connected: bool,
    /// Whether the last connection delivered at least the first block of the stream.
    has_read: bool,
}

impl Follower {
    pub(super) fn new(hub: HubArguments, channels: Vec<String>, last: Option<u64>) -> Self {
        let encoded = channels.iter().map(|name| format!("channel={}", utf8_percent_encode(name, NON_ALPHANUMERIC)));
        let last = last.map(|last| format!("last={last}"));
        let query: Vec<String> = encoded.chain(last).collect();
        Self {
            hub,
            target: format!("/stream?{}", query.join("&")),
            channel_finder: ChannelFinder::new(channels),
            retry: RETRY_DEFAULT,
            last_event_id: String::new(),
            ever_connected: false,
            has_read: false,
        }
    }

    /// Returns the delay that the hub requests before a reconnect.
    pub(super) fn retry(&self) -> Duration {
        self.retry
    }

    pub(super) fn was_ever_connected(&self) -> bool {
        self.ever_connected
    }

    /// Returns whether the last connection delivered something.
    pub(super) fn has_read(&self) -> bool {
        self.has_read
    }

    /// Opens a connection, and reads its stream to the end.
    ///
    /// # Errors
    ///
    /// An error of the output.
    pub(super) async fn connection(&mut self, printer: &mut Printer) -> io::Result<StreamEnd> {
        self.has_read = false;
        let mut connection = match HubConnection::open(&self.hub).await {
            Ok(connection) => connection,
            Err(error) => return Ok(StreamEnd::Lost(error.to_string())),
        };
        let mut request = request(&self.hub, Method::GET, &self.target, RequestBody::new(Bytes::new()));
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        if !self.last_event_id.is_empty() {
            // An id that a header cannot carry is incomplete.
            if let Ok(value) = HeaderValue::from_bytes(self.last_event_id.as_bytes()) {
                request.headers_mut().insert("last-event-id", value);
            }
        }
        let (head, mut body) = match connection.begin(request).await {
            Ok(response) => response.into_parts(),
            Err(cut) => return Ok(StreamEnd::Lost(cut.to_string())),
        };
        let is_stream = |value: &HeaderValue| value.as_bytes().starts_with(b"text/event-stream");
        if head.status != StatusCode::OK || !head.headers.get(header::CONTENT_TYPE).is_some_and(is_stream) {
            return Ok(self.not_a_stream(head, body).await);
        }
        self.ever_connected = true;

        let mut decoder = Decoder::new();
        while let Some(frame) = body.frame().await {
            let bytes = match frame.map(hyper::body::Frame::into_data) {
                Ok(Ok(bytes)) => bytes,
                Ok(Err(_)) => continue,
                Err(error) => return Ok(StreamEnd::Lost(format!("the stream was cut: {error}"))),
            };
            self.has_read = true;
            match self.read(&mut decoder, &bytes, printer) {
                Ok(None) => {}
                Ok(Some(too_large)) => return Ok(StreamEnd::Rejected(too_large)),
                Err(error) => return Ok(end_of_write(Err(error))?.unwrap_or(StreamEnd::OutputClosed)),
            }
            if let Some(end) = end_of_write(printer.flush())? {
                return Ok(end);
            }
        }
        Ok(StreamEnd::Lost("the hub ended the stream".to_owned()))
    }

    /// Decodes bytes line by line, because the id of a block without an event counts too. Returns what is wrong with the
    /// stream, if it is invalid.
    fn read(&mut self, decoder: &mut Decoder, bytes: &[u8], printer: &mut Printer) -> io::Result<Option<String>> {
        let mut items = Vec::new();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if let Err(error) = decoder.feed(line, |item| items.push(item)) {
                return Ok(Some(error.to_string()));
            }
            for item in items.drain(..) {
                match item {
                    Item::Message(message) => {
                        printer.message(self.channel_finder.find(&self.last_event_id, &message), &message)?;
                    }
                    Item::Retry(retry) => self.retry = retry,
                    _ => {}
                }
            }
            // A connection that is lost before its first block leaves the id as it was.
            let id = decoder.resume_id();
            if !id.is_empty() && id != self.last_event_id {
                id.clone_into(&mut self.last_event_id);
            }
        }
        Ok(None)
    }

    async fn not_a_stream(&self, head: http::response::Parts, body: hyper::body::Incoming) -> StreamEnd {
        let body = http_body_util::Limited::new(body, PROBLEM_BYTES_MAX).collect().await;
        let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let status = head.status;
        let problem = HubProblem::from_response(&crate::cmd::client::connection::HubResponse { head, body });
        if status == StatusCode::OK {
            return StreamEnd::Rejected(format!(
                "{} did not respond with a stream: is it the address of a hub?",
                self.hub.url
            ));
        }
        if status == StatusCode::NO_CONTENT {
            return StreamEnd::Rejected("the hub has no more events for this stream (204)".to_owned());
        }
        let passes =
            status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
        let why = format!("{}: {}", self.hub.url, problem.advice());
        if passes { StreamEnd::Lost(why) } else { StreamEnd::Rejected(why) }
    }
}
