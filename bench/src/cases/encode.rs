//! What an event takes inside the program, without subscribers and without sockets: to be encoded, which happens once
//! however many there are; and the whole of a publish, in which the event is made, encoded and appended to a log that is
//! full, so that the oldest event goes.

use std::{hint::black_box, time::Instant};

use anyhow::Result;
use tidecast::{Channel, Event, Hub, broker::Encoded};

use crate::figures::{Figures, Metric};

/// Events of one round. More than a log keeps.
const EVENTS: u32 = 50_000;

pub(super) fn measure() -> Result<Figures> {
    let data = "x".repeat(64);
    let mut figures = Figures::default();
    figures.put(Metric::EncodeNanos, encode(&data));
    figures.put(Metric::PublishNanos, publish(&data)?);
    Ok(figures)
}

fn encode(data: &str) -> f64 {
    let event = Event::text(data);
    let began = Instant::now();
    for _ in 0..EVENTS {
        black_box(Encoded::new(black_box(&event)));
    }
    began.elapsed().as_nanos() as f64 / f64::from(EVENTS)
}

fn publish(data: &str) -> Result<f64> {
    let hub = Hub::new();
    let channel = Channel::default();
    let publish_all = || -> Result<f64> {
        let began = Instant::now();
        for _ in 0..EVENTS {
            black_box(hub.publish_now(&channel, black_box(Event::text(data)))?);
        }
        Ok(began.elapsed().as_nanos() as f64 / f64::from(EVENTS))
    };
    publish_all()?;
    publish_all()
}
