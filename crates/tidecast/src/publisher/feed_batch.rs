//! Frames, and whom each of them is for.

use std::{ops::ControlFlow, sync::Arc};

use super::subscribers::{Lists, Member};
use crate::Frame;

/// What is published in one go.
pub(super) enum Addressed<P> {
    /// The same for all who are on these lists.
    ToAll { lists: Lists<P>, frame: Frame },
    /// One for each.
    ToEach(Vec<(Arc<Member<P>>, Frame)>),
}

impl<P> Addressed<P> {
    /// Does something for each copy, in order, until it breaks off.
    pub(super) fn try_each<B>(&self, mut act: impl FnMut(&Member<P>, &Frame) -> ControlFlow<B>) -> ControlFlow<B> {
        match self {
            Self::ToAll { lists, frame } => {
                lists.iter().flat_map(|list| list.iter()).try_for_each(|member| act(member, frame))
            }
            Self::ToEach(frames) => frames.iter().try_for_each(|(member, frame)| act(member, frame)),
        }
    }

    /// Does something for each copy, in order.
    pub(super) fn each(&self, mut act: impl FnMut(&Member<P>, &Frame)) {
        let _: ControlFlow<()> = self.try_each(|member, frame| {
            act(member, frame);
            ControlFlow::Continue(())
        });
    }
}
