//! How many streams there may be, of all clients and of one.
//!
//! Who finds no place is told in the stream when to come back: an error status would end an `EventSource` for good.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Instant};

use axum::{
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
use tidecast_serve::{ConnectionInfo, LogLimit, client_network};

use crate::{
    config::ConfigHandle,
    observe::{
        access_log::OpenStream,
        metrics::{Counters, StreamRejection},
    },
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Admission {
    config: Arc<ConfigHandle>,
    open: Mutex<OpenStreams>,
    /// Asked whether it is ending, when nobody is admitted.
    hub: Hub,
    counters: Arc<Counters>,
    full_logged: LogLimit,
}

#[derive(Debug, Default)]
struct OpenStreams {
    streams: usize,
    /// Kept only where there is a limit, and only for who has a stream.
    by_client: HashMap<IpAddr, ClientStreams>,
}

/// What one client has.
#[derive(Debug, Default)]
struct ClientStreams {
    streams: usize,
    /// Of all its streams; one that several of them read counts for each.
    channels: usize,
}

/// A stream's place, given back when it is dropped.
#[derive(Debug)]
struct AdmittedStream {
    admission: Arc<Admission>,
    client: Option<IpAddr>,
    channels: u16,
    /// Writes a line at the end, if the access log is on.
    logged: Option<Box<OpenStream>>,
}

impl Admission {
    pub(crate) fn new(config: Arc<ConfigHandle>, hub: Hub, counters: Arc<Counters>) -> Self {
        Self { config, open: Mutex::default(), hub, counters, full_logged: LogLimit::default() }
    }

    /// How many streams there are.
    pub(crate) fn streams(&self) -> usize {
        self.open.lock().streams
    }

    /// Takes a place for a stream of a client, which asks for so many channels.
    fn take(self: &Arc<Self>, client: Option<IpAddr>, channels: u16) -> Result<AdmittedStream, StreamRejection> {
        if self.hub.is_closed() {
            return Err(StreamRejection::Ending);
        }
        let config = self.config.read();
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

    /// Counts a refusal, and warns if it is for `streams_max`.
    fn note(&self, refused: StreamRejection) {
        self.counters.count_stream_rejection(refused);
        if matches!(refused, StreamRejection::Full)
            && let Some(count) = self.full_logged.due(Instant::now())
        {
            let streams_max = self.config.read().streams_max;
            tracing::warn!(streams_max, count, "streams were refused, as there are streams_max of them");
        }
    }

    /// Returns how many channels a request asks for, if that is of interest. What is wrong with it is told elsewhere.
    fn channels(&self, request: &Request) -> u16 {
        if self.config.read().channels_per_client_max == 0 {
            return 0;
        }
        let channels = query::channels(request.uri().query().unwrap_or_default());
        channels.map_or(0, |channels| u16::try_from(channels.len()).unwrap_or(u16::MAX))
    }
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

/// The layer that gives each stream a place, for as long as it lives.
pub(crate) async fn admit(State(admission): State<Arc<Admission>>, request: Request, next: Next) -> Response {
    if request.method() != Method::GET {
        return next.run(request).await;
    }
    let peer = request.extensions().get::<ConnectionInfo>().map(|connection| connection.origin);
    match admission.take(peer.map(|peer| peer.ip()), admission.channels(&request)) {
        Ok(mut place) => {
            let handoff = request.extensions().get::<StreamHandoff>().cloned();
            let response = next.run(request).await;
            // The stream has its place for as long as it lives, in its body or elsewhere. No other answer has one, be it a
            // 200: one that tells the client to come back.
            if let Some(handoff) = handoff.filter(StreamHandoff::has_stream) {
                place.logged = peer.and_then(OpenStream::begin);
                handoff.attach(place);
            }
            response
        }
        Err(refused) => {
            admission.note(refused);
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
    use crate::config::{Config, Settings};

    /// A request that is still on its way in when the hub begins to stop gets a stream's answer, as an error would end
    /// its `EventSource` for good.
    #[tokio::test]
    async fn who_asks_while_the_hub_is_stopping_is_told_to_come_back() {
        let hub = Hub::new();
        let config = Config::from_settings(&Settings::default()).unwrap();
        let admission = Arc::new(Admission::new(Arc::new(ConfigHandle::new(config)), hub.clone(), Arc::default()));
        let streams = tidecast_axum::router(hub.clone());
        let app: Router = streams.layer(from_fn_with_state(admission.clone(), admit));
        hub.close();
        let request = http::Request::get("/?channel=a").body(Body::empty()).unwrap();
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
