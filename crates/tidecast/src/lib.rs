#![doc = include_str!("../README.md")]

// In the order in which an event meets them.
pub mod limits;

mod channel;
mod event;
mod field;
mod position;

mod cursor;
pub mod wire;

mod segment;

mod bell;
mod channel_log;
mod frame;
mod held;
mod log;
mod registry;

pub mod broker;
mod hub;
mod resume;

mod batch;
mod delivery;
mod lane;
mod refill;
mod subscription;
mod tap;

mod publisher;

pub mod clock;
mod error;
mod stats;
mod sync;

#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(all(test, tidecast_loom))]
mod model;

pub use crate::{
    batch::Batch,
    broker::{Publication, Published},
    channel::Channel,
    cursor::Cursor,
    delivery::{Delivered, Delivery, Reset, ResetReason},
    error::{Error, Result},
    event::Event,
    field::{EventId, EventType, IdempotencyKey, STREAM_OPEN, STREAM_RESET},
    frame::Frame,
    held::HeldRings,
    hub::{Builder, ChannelInfo, Hub, Sweeper},
    limits::Limits,
    position::{Epoch, Position},
    publisher::{Feed, FeedOptions, Publisher, Subscriber, WhenFull},
    resume::Start,
    stats::Stats,
    subscription::Subscription,
    tap::{Mailbox, Spot, Tapped, Taps},
};
