//! What an event takes inside the program, without subscribers and without sockets: to be encoded, which happens once
//! however many there are; and the whole of a publish, in which the event is made, encoded and appended to a log that is
//! full, so that the oldest event goes.

use std::{hint::black_box, time::Instant};

use anyhow::Result;
use serde_json::{json, value::RawValue};
use tidecast::{Channel, Event, Hub, broker::Encoded};

use crate::{
    Effort,
    report::{Report, Table, median},
};

/// Events of one round. More than a log keeps.
const EVENTS: u32 = 200_000;

pub(crate) fn run(effort: Effort, report: &mut Report) -> Result<()> {
    let mut table = Table::new("In the program, no subscriber", &["event", "encode, ns", "publish, ns"]);
    let short = "x".repeat(64);
    let long = "x".repeat(1024);
    let small = serde_json::value::to_raw_value(&json!({"user": 17, "status": "Life is good!", "seen": [1, 2, 3]}))?;
    let mut measure = |name: &str, event: &dyn Fn() -> Event| -> Result<()> {
        let encode = (0..effort.rounds).map(|_| encode(event)).collect::<Vec<_>>();
        let publish = (0..effort.rounds).map(|_| publish(event)).collect::<Result<Vec<_>>>()?;
        table.row(vec![name.into(), median(encode).round().into(), median(publish).round().into()]);
        Ok(())
    };
    measure("text, 64 B", &|| Event::text(&*short))?;
    measure("text, 1 KiB", &|| Event::text(&*long))?;
    measure("JSON, 55 B, given as it is", &|| Event::raw_json(RawValue::to_owned(&small)))?;
    report.add(table);
    Ok(())
}

fn encode(event: &dyn Fn() -> Event) -> f64 {
    let event = event();
    let began = Instant::now();
    for _ in 0..EVENTS {
        black_box(Encoded::new(black_box(&event)));
    }
    began.elapsed().as_nanos() as f64 / f64::from(EVENTS)
}

fn publish(event: &dyn Fn() -> Event) -> Result<f64> {
    let hub = Hub::new();
    let channel = Channel::default();
    let publish_all = || -> Result<f64> {
        let began = Instant::now();
        for _ in 0..EVENTS {
            black_box(hub.publish_now(&channel, black_box(event()))?);
        }
        Ok(began.elapsed().as_nanos() as f64 / f64::from(EVENTS))
    };
    publish_all()?;
    publish_all()
}
