//! Frames and their recipients.

use std::{ops::ControlFlow, sync::Arc};

use super::subscribers::{Lists, SubscriberEntry};
use crate::Frame;

/// The copies of one publish.
pub(super) enum FeedBatch<P> {
    /// The same frame for every subscriber on these lists.
    Shared { lists: Lists<P>, frame: Frame },
    /// A frame for each subscriber.
    Individual(Vec<(Arc<SubscriberEntry<P>>, Frame)>),
}

impl<P> FeedBatch<P> {
    /// Calls `act` for each copy, in order, until it breaks.
    pub(super) fn try_each<B>(
        &self,
        mut act: impl FnMut(&SubscriberEntry<P>, &Frame) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        match self {
            Self::Shared { lists, frame } => {
                lists.iter().flat_map(|list| list.iter()).try_for_each(|entry| act(entry, frame))
            }
            Self::Individual(frames) => frames.iter().try_for_each(|(entry, frame)| act(entry, frame)),
        }
    }

    /// Calls `act` for each copy, in order.
    pub(super) fn each(&self, mut act: impl FnMut(&SubscriberEntry<P>, &Frame)) {
        let _: ControlFlow<()> = self.try_each(|entry, frame| {
            act(entry, frame);
            ControlFlow::Continue(())
        });
    }
}
