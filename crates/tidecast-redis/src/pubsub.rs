//! Pub/sub: workers with their connections, the table of subscribed channels, and the backfill of missed events.

pub(crate) mod manager;
pub(crate) mod subscriptions;

mod backfill;
mod backfill_queue;
pub(crate) mod connection;
mod lag_check;
mod sentinel_watch;
mod worker;
