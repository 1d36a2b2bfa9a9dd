//! Where there is no epoll there are no reactors: every stream is served as an ordinary response.

use std::{future::ready, io, sync::Arc};

use crate::{config::Config, detach::Detached, metrics::Counters};

/// None.
#[derive(Debug)]
pub(crate) struct Reactors;

impl Reactors {
    pub(crate) fn start(_: &Config, _: &Arc<Counters>) -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) fn any(&self) -> bool {
        false
    }

    /// Never called, as there is none.
    pub(crate) fn adopt(&self, _: Detached) {}

    pub(crate) fn end(&self) {}

    pub(crate) fn ended(&self) -> impl Future<Output = ()> {
        ready(())
    }

    pub(crate) fn count(&self) -> usize {
        0
    }

    pub(crate) fn cut(&self) {}
}
