//! A pub/sub worker: one connection after the other, subscribed to the worker's channels.
//!
//! A worker connects, subscribes to what the table has for it, has it backfilled, checks that it still receives, and
//! begins again when the connection ends. Messages go from the task that reads the socket straight to `subscriptions`;
//! the worker's own task only sends and watches. `manager` decides where it listens.

mod backfills;
mod push;
mod subscribe;
#[cfg(test)]
mod tests;

use std::{
    mem,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::{Fuse, FusedFuture, FutureExt};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    time::{self, Instant, Interval, MissedTickBehavior},
};

use self::{backfills::Backfills, subscribe::subscribe_to_control};
use crate::{
    address::Address,
    backoff::Backoff,
    commands::ListenTarget,
    config::ChannelKind,
    error::CallError,
    log_throttle::LogThrottle,
    pubsub::context::BrokerContext,
    pubsub::{
        connection::PubSubConnection,
        lag_check::check_lag,
        subscriptions::{BackfillTask, PubSubName, WorkerId},
    },
    stats::count,
    supervise::FailPoint,
};

/// How long a foreign epoch is remembered, and the shortest pause between two log lines about invalid payloads.
const FORGET_INTERVAL: Duration = Duration::from_secs(10);

/// A connection that lasted this long was a success, so the next failure is the first of its row.
const STEADY: Duration = Duration::from_secs(1);

/// A task that keeps a pub/sub connection and its subscriptions.
#[derive(Debug)]
pub(crate) struct PubSubWorker {
    pub(crate) id: WorkerId,
    channel_kind: ChannelKind,
    work: Mutex<PendingWork>,
    work_added: Notify,
    /// The number of pushes received. It shows whether the connection is idle.
    pushes: AtomicU64,
    connected: AtomicBool,
}

/// Work for the worker's task on the current connection. Bounded by the number of channels.
#[derive(Debug, Default)]
struct PendingWork {
    /// Without a connection nothing is added, however long Redis is unavailable: the next one starts from the table.
    has_connection: bool,
    subscribe: Vec<PubSubName>,
    unsubscribe: Vec<PubSubName>,
    backfill: Vec<BackfillTask>,
    /// Names that the server unsubscribed by itself, because their slot moved.
    moved: Vec<PubSubName>,
}

impl PubSubWorker {
    pub(crate) fn new(id: WorkerId, channel_kind: ChannelKind) -> Arc<Self> {
        Arc::new(Self {
            id,
            channel_kind,
            work: Mutex::default(),
            work_added: Notify::new(),
            pushes: AtomicU64::new(0),
            connected: AtomicBool::new(false),
        })
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }

    /// Has a channel subscribed to, and then backfilled.
    pub(crate) fn subscribe(&self, name: PubSubName) {
        self.add_work(|work| work.subscribe.push(name));
    }

    /// Has a channel unsubscribed from, unless it is wanted again by then.
    pub(crate) fn unsubscribe(&self, name: PubSubName) {
        self.add_work(|work| work.unsubscribe.push(name));
    }

    /// Takes the names whose slot has moved to another node.
    pub(crate) fn take_moved(&self) -> Vec<PubSubName> {
        mem::take(&mut self.work.lock().moved)
    }

    fn backfill(&self, task: BackfillTask) {
        self.add_work(|work| work.backfill.push(task));
    }

    fn add_work(&self, add: impl FnOnce(&mut PendingWork)) {
        let mut work = self.work.lock();
        if work.has_connection {
            add(&mut work);
            drop(work);
            self.work_added.notify_one();
        }
    }

    /// Listens and reconnects, forever. `find_target` is called before each attempt, because the target may change.
    pub(crate) async fn listen(
        self: &Arc<Self>,
        context: &Arc<BrokerContext>,
        find_target: &impl AsyncFn() -> Result<ListenTarget, CallError>,
        on_change: &impl Fn(),
    ) {
        let mut backoff = Backoff::RECONNECT;
        let mut throttle = LogThrottle::default();
        let mut was_connected = false;
        let mut reached = context.commands.reached();
        let mut switched = context.commands.connector().switched.subscribe();
        loop {
            reached.mark_unchanged();
            // A primary that moves during the connect counts as moved away from the new connection.
            switched.mark_unchanged();
            let connecting = async {
                let target = find_target().await?;
                let (worker, shared) = (self.clone(), context.clone());
                let on_push = move |push| worker.on_push(&shared, push);
                PubSubConnection::connect(&context.commands, &target, on_push).await
            };
            let reason = match connecting.await {
                Ok(connection) => {
                    let connection = Arc::new(connection);
                    if mem::replace(&mut was_connected, true) {
                        count(&context.subscriptions.counters.reconnects);
                    }
                    // Redis is back, so publishing need not wait for its next attempt.
                    context.commands.retry_now();
                    let started = Instant::now();
                    let reason = self.serve(context, &connection, &mut switched, on_change).await;
                    if started.elapsed() > STEADY {
                        backoff.reset();
                        throttle.reset();
                    }
                    reason
                }
                Err(error) => error.to_string(),
            };
            self.stop(context);
            on_change();
            let retry_in = backoff.after_failure(fastrand::f64());
            if let Some(attempts) = throttle.record(&reason) {
                tracing::warn!(reason, attempts, ?retry_in, "redis: not listening");
            }
            // A command may reach Redis before the pause is over.
            tokio::select! {
                () = time::sleep(retry_in) => {}
                _ = reached.changed() => {}
            }
        }
    }

    /// Records that the connection has ended: no channel is live. Readers stay, and new ones wait.
    pub(crate) fn stop(&self, context: &BrokerContext) {
        *self.work.lock() = PendingWork::default();
        context.subscriptions.disconnected(self.id);
        self.connected.store(false, Ordering::Release);
    }

    /// Serves a connection until it ends. Returns the reason.
    async fn serve(
        &self,
        context: &Arc<BrokerContext>,
        connection: &Arc<PubSubConnection>,
        switched: &mut watch::Receiver<Option<Address>>,
        on_change: &impl Fn(),
    ) -> String {
        let mut backfills = Backfills::new();
        *self.work.lock() = PendingWork { has_connection: true, ..PendingWork::default() };
        let wanted = context.subscriptions.disconnected(self.id);
        if let Err(error) = subscribe_to_control(context, connection).await {
            return error.to_string();
        }
        if let Err(error) = self.subscribe_to(context, connection, wanted).await {
            return error.to_string();
        }
        self.connected.store(true, Ordering::Release);
        on_change();
        tracing::info!(server = %connection.address(), channels = context.subscriptions.len(), "redis: listening");

        let config = &context.config;
        let mut probe = every(config.probe_interval);
        let mut lag_interval = every(config.compare_interval);
        let mut forget = every(FORGET_INTERVAL);
        let mut last_pushes = self.pushes.load(Ordering::Relaxed);
        let start_backfill = |task| self.backfill(task);
        // Polled beside all else, because it waits for replies.
        let mut lag_check = pin!(Fuse::terminated());
        loop {
            let mut result = Ok(());
            context.fail_points.trip(FailPoint::Listening);
            tokio::select! {
                reason = connection.closed() => return reason,
                Ok(()) = switched.changed() => {
                    let primary = switched.borrow_and_update().clone();
                    if primary.is_some_and(|primary| primary != *connection.address()) {
                        result = Err(CallError::unavailable("the primary has moved"));
                    }
                }
                () = self.work_added.notified() => result = self.update_subscriptions(context, connection).await,
                progressed = backfills.progress() => result = progressed,
                _ = probe.tick() => {
                    let pushes = self.pushes.load(Ordering::Relaxed);
                    if mem::replace(&mut last_pushes, pushes) == pushes {
                        result = connection.check_primary().await;
                    }
                }
                _ = lag_interval.tick(), if lag_check.is_terminated() => {
                    lag_check.set(check_lag(context, self.id, connection, &start_backfill).fuse());
                }
                checked = &mut lag_check => result = checked,
                _ = forget.tick() => {
                    context.subscriptions.counters.log_again();
                    context.subscriptions.clear_foreign_epochs(self.id);
                }
            }
            if let Err(error) = result {
                return error.to_string();
            }
            let new = mem::take(&mut self.work.lock().backfill);
            backfills.start(context, connection, new);
        }
    }
}

/// Returns a timer whose first tick is after one interval; zero never ticks.
fn every(interval: Duration) -> Interval {
    const NEVER: Duration = Duration::from_secs(10 * 365 * 86_400);
    let mut timer = time::interval(if interval.is_zero() { NEVER } else { interval });
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timer.reset();
    timer
}
