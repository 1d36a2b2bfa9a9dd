//! Where there is no epoll there are no reactors: every stream is served as an ordinary response.

use std::{
    future::{Future, ready},
    io,
    sync::Arc,
};

use crate::{config::Config, detach::Detached, observe::metrics::Counters, supervise::Tasks};

/// None.
#[derive(Debug)]
pub(crate) struct Reactors {
    counters: Arc<Counters>,
}

impl Reactors {
    pub(crate) fn start(config: &Config, counters: &Arc<Counters>, _: &Tasks) -> io::Result<Self> {
        if config.reactors > 0 {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(Self { counters: counters.clone() })
    }

    pub(crate) fn any(&self) -> bool {
        false
    }

    /// Cuts the connection. It is never called, as there is none that could serve it.
    pub(crate) fn adopt(&self, detached: Detached) {
        self.counters.count_detached();
        let Detached { socket, unwritten, subscription, sent_at, ends_at, chunked, seat } = detached;
        drop((socket, unwritten, subscription, sent_at, ends_at, chunked, seat));
    }

    pub(crate) fn end(&self) {}

    pub(crate) fn ended(&self) -> impl Future<Output = ()> {
        ready(())
    }

    pub(crate) fn count(&self) -> usize {
        0
    }

    pub(crate) fn cut(&self) {}
}
