//! Limits the number of streams, of all clients and of each.
//!
//! A client beyond a limit gets a stream that tells it when to reconnect. An error status would close an `EventSource` for
//! good.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Instant};

use axum::{
    Extension,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::Method;
use parking_lot::Mutex;
use tidecast::Hub;
use tidecast_axum::{
    internals::{FULL_RETRY, StreamHandoff, jitter, query},
    retry_later,
};
use tidecast_serve::{ConnectionInfo, client_network, internals::LogLimit};

use crate::{
    config::Config,
    observe::{
        access_log::OpenStream,
        metrics::{RequestCounters, StreamRejection},
    },
};

/// Admits streams within the limits.
#[derive(Debug)]
pub(crate) struct Admission {
    open: Mutex<OpenStreams>,
    /// Streams are rejected while it is closing.
    hub: Hub,
    counters: Arc<RequestCounters>,
    full_logged: LogLimit,
}

#[derive(Debug, Default)]
struct OpenStreams {
    streams: usize,
    /// The clients that have streams. It is empty if there is no limit per client.
    by_client: HashMap<IpAddr, ClientStreams>,
}

/// The streams of one client.
#[derive(Debug, Default)]
struct ClientStreams {
    streams: usize,
    /// The channels of all its streams. A channel counts once for each stream.
    channels: usize,
}

/// An admitted stream, which is counted until it is dropped.
#[derive(Debug)]
struct AdmittedStream {
    admission: Arc<Admission>,
    client: Option<IpAddr>,
    channels: u16,
    /// Writes a line at the end, if the access log is on.
    logged: Option<Box<OpenStream>>,
}

impl Admission {
    pub(crate) fn new(hub: Hub, counters: Arc<RequestCounters>) -> Self {
        Self { open: Mutex::default(), hub, counters, full_logged: LogLimit::default() }
    }

    /// Returns the number of streams.
    pub(crate) fn streams(&self) -> usize {
        self.open.lock().streams
    }

    /// Admits a stream of a client with a number of channels.
    fn admit(
        self: &Arc<Self>,
        config: &Config,
        client: Option<IpAddr>,
        channels: u16,
    ) -> Result<AdmittedStream, StreamRejection> {
        if self.hub.is_closed() {
            return Err(StreamRejection::Ending);
        }
        let counts_clients = config.streams_per_client_max > 0 || config.channels_per_client_max > 0;
        let client = client.filter(|_| counts_clients).map(client_network);
        let mut open = self.open.lock();
        if open.streams >= config.streams_max {
            return Err(StreamRejection::Full);
        }
        if let Some(client) = client {
            let beyond = |count: usize, max: usize| max > 0 && count > max;
            let (streams, read) = open.by_client.get(&client).map_or((0, 0), |share| (share.streams, share.channels));
            let (streams, read) = (streams + 1, read + usize::from(channels));
            if beyond(streams, config.streams_per_client_max) || beyond(read, config.channels_per_client_max) {
                return Err(StreamRejection::ClientFull);
            }
            open.by_client.insert(client, ClientStreams { streams, channels: read });
        }
        open.streams += 1;
        Ok(AdmittedStream { admission: self.clone(), client, channels, logged: None })
    }

    /// Counts a rejection, and logs a warning if the hub is full.
    fn record(&self, config: &Config, rejection: StreamRejection) {
        self.counters.count_stream_rejection(rejection);
        if matches!(rejection, StreamRejection::Full)
            && let Some(count) = self.full_logged.due(Instant::now())
        {
            let streams_max = config.streams_max;
            tracing::warn!(streams_max, count, "rejected streams: the number of streams has reached streams_max");
        }
    }
}

/// Returns the number of channels of a request; 0 if there is no limit on them. An invalid request is refused later.
fn channels(config: &Config, request: &Request) -> u16 {
    if config.channels_per_client_max == 0 {
        return 0;
    }
    let channels = query::channels(request.uri().query().unwrap_or_default());
    channels.map_or(0, |channels| u16::try_from(channels.len()).unwrap_or(u16::MAX))
}

impl Drop for AdmittedStream {
    fn drop(&mut self) {
        drop(self.logged.take());
        let mut open = self.admission.open.lock();
        open.streams -= 1;
        if let Some(client) = self.client
            && let Some(share) = open.by_client.get_mut(&client)
        {
            share.streams -= 1;
            share.channels -= usize::from(self.channels);
            if share.streams == 0 {
                open.by_client.remove(&client);
            }
        }
    }
}

/// Admits each stream for as long as it is open.
pub(crate) async fn admit(
    State(admission): State<Arc<Admission>>,
    Extension(config): Extension<Arc<Config>>,
    request: Request,
    next: Next,
) -> Response {
    if request.method() != Method::GET {
        return next.run(request).await;
    }
    let peer = request.extensions().get::<ConnectionInfo>().map(|connection| connection.origin);
    match admission.admit(&config, peer.map(|peer| peer.ip()), channels(&config, &request)) {
        Ok(mut stream) => {
            let handoff = request.extensions().get::<StreamHandoff>().cloned();
            let response = next.run(request).await;
            // The stream keeps its admission until it ends, in the body or in a reactor. Other responses do not, such as one
            // that tells the client to reconnect.
            if let Some(handoff) = handoff.filter(StreamHandoff::has_stream) {
                stream.logged = peer.and_then(OpenStream::begin);
                handoff.attach(stream);
            }
            response
        }
        Err(rejection) => {
            admission.record(&config, rejection);
            retry_later(jitter(&FULL_RETRY))
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, middleware::from_fn_with_state};
    use http::StatusCode;
    use http_body_util::BodyExt;
    use tidecast::wire::{Decoder, Item};
    use tower::ServiceExt;

    use super::*;
    use crate::config::Settings;

    /// A request that arrived while the hub began to stop got an error, which closes an `EventSource` for good.
    #[tokio::test]
    async fn a_stream_of_a_stopping_hub_tells_its_client_to_reconnect() {
        let hub = Hub::new();
        let config = Arc::new(Config::from_settings(&Settings::default()).unwrap());
        let admission = Arc::new(Admission::new(hub.clone(), Arc::default()));
        let streams = tidecast_axum::router(hub.clone());
        let app: Router = streams.layer(from_fn_with_state(admission.clone(), admit));
        hub.close();
        let request = http::Request::get("/?channel=a").extension(config).body(Body::empty()).unwrap();
        let response = app.oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let mut items = Vec::new();
        Decoder::new().feed(&body, |item| items.push(item)).unwrap();
        let [Item::Retry(retry)] = &items[..] else { panic!("{items:?}") };
        assert!(FULL_RETRY.contains(retry), "{retry:?}");
        assert_eq!(admission.streams(), 0);
    }
}
