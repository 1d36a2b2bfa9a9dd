//! Systems without epoll have no reactors: every stream is served as an ordinary response.

use std::{
    future::{Future, ready},
    io,
    sync::Arc,
};

use crate::{counters::ConnectionCounters, detach::Detached, options::ServeOptions, supervise::Supervisor};

/// No reactors.
#[derive(Debug)]
pub(crate) struct Reactors;

impl Reactors {
    /// Does nothing. The options allow no reactors here.
    pub(crate) fn start(_: &ServeOptions, _: &Arc<ConnectionCounters>, _: &Supervisor) -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) fn any(&self) -> bool {
        false
    }

    /// Cuts the connection. It is never called, because no stream is detached.
    pub(crate) fn add(&self, detached: Detached) {
        let Detached { socket, unwritten, subscription, sent_at, deadline, chunked, guard } = detached;
        drop((socket, unwritten, subscription, sent_at, deadline, chunked, guard));
    }

    pub(crate) fn close(&self) {}

    pub(crate) fn wait_empty(&self) -> impl Future<Output = ()> {
        ready(())
    }

    pub(crate) fn streams(&self) -> usize {
        0
    }

    pub(crate) fn cut(&self) {}
}
