//! How publishers tell readers that there is something to read.

mod group_waker;
mod notify_batch;
mod ready_set;

pub(crate) use self::{
    group_waker::GroupEntry,
    notify_batch::{Notify, notify},
    ready_set::ReadySet,
};
pub use self::{group_waker::GroupWaker, notify_batch::NotifyBatch};
