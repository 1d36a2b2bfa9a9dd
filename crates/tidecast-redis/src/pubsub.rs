//! Listening on Redis: connections, subscriptions, and backfilling what was missed.

pub(crate) mod manager;
pub(crate) mod subscriptions;

mod backfill;
mod backfill_queue;
pub(crate) mod connection;
mod lag_check;
mod sentinel_watch;
mod worker;
