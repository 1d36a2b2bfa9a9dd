#![doc = include_str!("../README.md")]

// The stages of an event, in order.
mod event;
mod position;

pub mod wire;

mod channel_log;
mod log;
mod notify;

pub mod broker;
mod hub;

mod reader_group;
mod subscription;

mod publisher;

pub mod clock;
mod error;
pub mod limits;
mod sync;

#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(all(test, tidecast_loom))]
mod model;

pub use crate::{
    broker::{Publication, Published},
    error::{Error, Result},
    event::{Channel, Event, EventId, EventType, IdempotencyKey, STREAM_OPEN, STREAM_RESET},
    hub::{Builder, ChannelInfo, Hub, Stats, Sweeper},
    limits::Limits,
    position::{Cursor, Epoch, Position},
    publisher::{Feed, FeedOptions, Publisher, Subscriber, WhenFull},
    subscription::{Batch, Delivered, Delivery, Start, Subscription},
    wire::{
        frame::Frame,
        reset::{Reset, ResetReason},
    },
};

/// Parts that the hub's server needs and programs do not. They may change in any version.
#[doc(hidden)]
pub mod internals {
    pub use crate::{
        log::LogCursor,
        notify::{GroupWaker, NotifyBatch},
        reader_group::{GroupRead, ReaderGroups},
        wire::json::put_json_string,
    };
}
