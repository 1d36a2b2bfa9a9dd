//! What a stream is of: a hub's subscription, or a publisher's feed.
//!
//! Both begin with a block and then have batches of frames; how they are served is the same.

use std::task::{Context, Poll};

use bytes::Bytes;
use tidecast::{Batch, Feed, Subscription, wire::FirstBlock};

#[derive(Debug)]
pub(crate) enum Source {
    Subscription(Subscription),
    Feed(Feed),
}

impl Source {
    /// Whether a server may take it from its body: it would have nothing to serve a feed by.
    pub(crate) fn may_leave(&self) -> bool {
        matches!(self, Self::Subscription(_))
    }

    pub(crate) fn first_block(&mut self, block: FirstBlock) -> Bytes {
        match self {
            Self::Subscription(subscription) => subscription.first_block(block),
            Self::Feed(feed) => feed.first_block(block),
        }
    }

    pub(crate) fn poll_batch(&mut self, context: &mut Context<'_>, batch: &mut Batch, bytes_max: usize) -> Poll<bool> {
        match self {
            Self::Subscription(subscription) => subscription.poll_batch(context, batch, bytes_max),
            Self::Feed(feed) => feed.poll_batch(context, batch, bytes_max),
        }
    }
}
