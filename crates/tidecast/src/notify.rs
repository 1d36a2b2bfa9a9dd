//! How readers learn that there is something to read.

mod notify_batch;
mod ready_set;

pub use self::notify_batch::NotifyBatch;
pub(crate) use self::{notify_batch::ring, ready_set::Bell};
