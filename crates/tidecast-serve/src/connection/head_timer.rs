//! The timer that hyper uses while it waits for a request's head.
//!
//! hyper has one timeout for an idle connection and for an incomplete head. It makes a timer when it begins to wait, polls
//! it while the head is incomplete, and drops it once the head is complete. This timer tells the two states apart by
//! whether the socket was read from meanwhile.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::rt::{Sleep, Timer};

use crate::{
    connection::{cork::CorkedSocket, head::HeadTimeouts},
    listener::activity::Activity,
    options::ServeOptions,
};

/// Makes the timers of one connection.
#[derive(Debug)]
pub(crate) struct HeadTimer {
    socket: CorkedSocket,
    activity: Arc<Activity>,
    timeouts: HeadTimeouts,
    /// The time that hyper is told. It computes a deadline from it that is not used.
    created_at: Instant,
}

impl HeadTimer {
    pub(crate) fn new(socket: CorkedSocket, activity: Arc<Activity>, options: &ServeOptions) -> Self {
        let timeouts = HeadTimeouts { idle: options.idle_timeout, head: options.header_timeout };
        Self { socket, activity, timeouts, created_at: Instant::now() }
    }
}

impl Timer for HeadTimer {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.created_at)
    }

    fn sleep_until(&self, _: Instant) -> Pin<Box<dyn Sleep>> {
        self.activity.set_idle();
        self.socket.wait_for_head();
        Box::pin(HeadWait { socket: self.socket.clone(), timeouts: self.timeouts })
    }

    fn now(&self) -> Instant {
        self.created_at
    }
}

/// Ends when the head of the next request is overdue.
struct HeadWait {
    socket: CorkedSocket,
    timeouts: HeadTimeouts,
}

impl Sleep for HeadWait {}

impl Future for HeadWait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.socket.poll_overdue(context, self.timeouts)
    }
}
