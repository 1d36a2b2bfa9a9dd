//! Pub/sub: workers with their connections, the table of subscribed channels, and the backfill of missed events.
//!
//! A channel is subscribed to, then its log is backfilled, then it is live. A gap, whatever its cause, is detected by the
//! next event or by the next lag check. Between a socket and a log there is no queue: a node that cannot keep up leaves
//! messages in the socket, where Redis bounds them. Redis then closes the connection, and the next one is backfilled.

pub(crate) mod context;
pub(crate) mod manager;
pub(crate) mod subscriptions;

mod backfill;
mod backfill_queue;
pub(crate) mod connection;
mod lag_check;
mod sentinel_watch;
mod worker;
