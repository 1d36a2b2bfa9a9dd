//! A subscriber that times each delivery.

use std::{ops::ControlFlow, time::Instant};

use anyhow::Context;
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tidecast::wire::{Decoder, Item};

use crate::cmd::client::{
    HubArguments,
    connection::{HubConnection, RequestBody, request},
};

/// A stream that is open.
pub(super) struct BenchSubscriber {
    /// Kept open for as long as the stream.
    _connection: HubConnection,
    body: Incoming,
    decoder: Decoder,
}

/// The deliveries to one subscriber.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// How often each event was received.
    pub(super) times: Vec<u8>,
    /// The time of each delivery, in microseconds.
    pub(super) micros: Vec<u32>,
}

/// Opens a stream, and waits for its first block. No event is missed after it.
pub(super) async fn open(hub: HubArguments, channel: String) -> anyhow::Result<BenchSubscriber> {
    let mut connection = HubConnection::open(&hub).await?;
    let request = request(&hub, Method::GET, &format!("/stream?channel={channel}"), RequestBody::new(Bytes::new()));
    let response = connection.begin(request).await.context("failed to follow")?;
    anyhow::ensure!(response.status() == StatusCode::OK, "failed to follow: answered {}", response.status());
    let mut subscriber =
        BenchSubscriber { _connection: connection, body: response.into_body(), decoder: Decoder::new() };
    while subscriber.decoder.resume_id().is_empty() {
        anyhow::ensure!(
            subscriber.read(|_| {}).await?.is_continue(),
            "the hub ended a stream at once: is its limit on streams lower than the number of subscribers?"
        );
    }
    Ok(subscriber)
}

impl BenchSubscriber {
    /// Receives until every event has arrived, or the stream is lost.
    pub(super) async fn receive(mut self, begun: Instant, events: u32) -> Received {
        let mut received = Received { times: vec![0; events as usize], micros: Vec::with_capacity(events as usize) };
        let mut missing = events;
        while missing > 0 {
            let read = self.read(|item| {
                let Item::Message(message) = item else { return };
                let Some((number, sent)) = message.data.split_once(' ') else { return };
                let (Ok(number), Ok(sent)) = (number.parse::<usize>(), sent.parse::<u128>()) else { return };
                let Some(times) = received.times.get_mut(number) else { return };
                if *times == 0 {
                    missing -= 1;
                }
                *times = times.saturating_add(1);
                let micros = begun.elapsed().as_nanos().saturating_sub(sent) / 1_000;
                received.micros.push(u32::try_from(micros).unwrap_or(u32::MAX));
            });
            if !read.await.is_ok_and(|read| read.is_continue()) {
                break;
            }
        }
        received
    }

    /// Reads one frame, unless the stream has ended.
    async fn read(&mut self, on_item: impl FnMut(Item)) -> anyhow::Result<ControlFlow<()>> {
        let Some(frame) = self.body.frame().await else { return Ok(ControlFlow::Break(())) };
        if let Ok(bytes) = frame?.into_data() {
            self.decoder.feed(&bytes, on_item)?;
        }
        Ok(ControlFlow::Continue(()))
    }
}
