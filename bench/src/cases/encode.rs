//! The time of an event inside the program, without subscribers and sockets: encoding it, which happens once for all
//! subscribers, and a whole publish, which creates, encodes and appends an event to a full log.

use std::{hint::black_box, time::Instant};

use anyhow::Result;
use serde_json::{json, value::RawValue};
use tidecast::{Channel, Event, Hub, broker::EncodedEvent};

use crate::figures::{Figures, Metric};

/// The kind of event.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sample {
    /// Text with this many bytes.
    Text(usize),
    /// A small object as JSON text.
    Json,
}

/// Events of one round, more than a log retains.
const EVENTS: u32 = 200_000;
const EVENTS_QUICK: u32 = 11_000;

pub(super) fn measure(sample: Sample, quick: bool) -> Result<Figures> {
    let events = if quick { EVENTS_QUICK } else { EVENTS };
    let text = "x".repeat(if let Sample::Text(bytes) = sample { bytes } else { 0 });
    let json = serde_json::value::to_raw_value(&json!({"user": 17, "status": "Life is good!", "seen": [1, 2, 3]}))?;
    let event: &dyn Fn() -> Event = match sample {
        Sample::Text(_) => &|| Event::text(&*text),
        Sample::Json => &|| Event::raw_json(RawValue::to_owned(&json)),
    };
    let mut figures = Figures::default();
    figures.put(Metric::EncodeNanos, encode(event, events));
    figures.put(Metric::PublishNanos, publish(event, events)?);
    Ok(figures)
}

fn encode(event: &dyn Fn() -> Event, events: u32) -> f64 {
    let event = event();
    let began = Instant::now();
    for _ in 0..events {
        black_box(EncodedEvent::new(black_box(&event)));
    }
    began.elapsed().as_nanos() as f64 / f64::from(events)
}

fn publish(event: &dyn Fn() -> Event, events: u32) -> Result<f64> {
    let hub = Hub::new();
    let channel = Channel::default();
    let publish_all = || -> Result<f64> {
        let began = Instant::now();
        for _ in 0..events {
            black_box(hub.publish_now(&channel, black_box(event()))?);
        }
        Ok(began.elapsed().as_nanos() as f64 / f64::from(events))
    };
    publish_all()?;
    publish_all()
}
