//! The time-outs of a connection that hyper serves, between two answers: how long it may be idle, and how long the head of
//! its next request may take.
//!
//! hyper has one time for both. It makes a timer when it begins to wait for a head, polls it while the head is incomplete
//! and drops it once the head is complete. The timer here tells the two states apart by whether the socket has been read
//! from meanwhile.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::rt::{Sleep, Timer};

use crate::{config::Config, cork::CorkedSocket, places::Control};

/// Makes the timers of one connection.
#[derive(Debug)]
pub(crate) struct HeadTimer {
    socket: CorkedSocket,
    control: Arc<Control>,
    limits: HeadLimits,
    /// What hyper is told: it works out a deadline that is not used.
    made_at: Instant,
}

/// How long to wait for a head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadLimits {
    /// From the last answer to the first byte.
    pub(crate) idle: Duration,
    /// From the first byte to the last.
    pub(crate) head: Duration,
}

impl HeadTimer {
    pub(crate) fn new(socket: CorkedSocket, control: Arc<Control>, config: &Config) -> Self {
        let limits = HeadLimits { idle: config.idle_timeout, head: config.header_timeout };
        Self { socket, control, limits, made_at: Instant::now() }
    }
}

impl Timer for HeadTimer {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.made_at)
    }

    fn sleep_until(&self, _: Instant) -> Pin<Box<dyn Sleep>> {
        self.control.rest();
        self.socket.wait_for_head();
        Box::pin(HeadWait { socket: self.socket.clone(), limits: self.limits })
    }

    fn now(&self) -> Instant {
        self.made_at
    }
}

/// Ends when the next request is overdue.
struct HeadWait {
    socket: CorkedSocket,
    limits: HeadLimits,
}

impl Sleep for HeadWait {}

impl Future for HeadWait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.socket.poll_overdue(context, self.limits)
    }
}
