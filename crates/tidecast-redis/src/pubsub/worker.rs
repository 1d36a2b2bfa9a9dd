//! One listening connection and its life: connect, subscribe to what is wanted, have it filled, watch that it is not
//! deaf, and begin again for ever when it ends.
//!
//! What arrives goes from the task that reads the socket straight to `subscriptions`; this task sends and keeps watch only. An
//! ear remembers no channels: what it is to hear stands in `subscriptions`, so after a break it subscribes to what is wanted
//! then. `listener` says where it listens.

use std::{
    collections::VecDeque,
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
use redis::{PushInfo, PushKind, Value};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::{self, Instant, Interval, MissedTickBehavior},
};

use crate::{
    address::Address,
    backoff::Backoff,
    commands::ListenTarget,
    context::BrokerContext,
    error::CallError,
    log_throttle::LogThrottle,
    pubsub::backfill::{CHANNELS_AT_ONCE, fill},
    pubsub::backfill_queue::BackfillQueue,
    pubsub::connection::PubSubConnection,
    pubsub::lag_check::lag_check,
    pubsub::subscriptions::{BackfillTask, Call, Name},
    stats::count,
    supervise::FailPoint,
};

/// Most names in one command.
const NAMES_PER_COMMAND: usize = 512;

/// Most fills at once at one node: each is a pipeline of up to [`CHANNELS_AT_ONCE`] channels.
const BACKFILLS_IN_FLIGHT_MAX: usize = 8;

/// How often, at most, a payload that is no event is told in the log; and for how long an epoch is taken to be of another
/// database before it is looked up again.
const RESET_INTERVAL: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub(crate) struct PubSubWorker {
    pub(crate) id: usize,
    /// Whether it listens to sharded channels.
    sharded: bool,
    work: Mutex<PendingWork>,
    work_ready: Notify,
    /// How many pushes have come, so that an idle connection is seen.
    pushes: AtomicU64,
    connected: AtomicBool,
}

/// What the connection is to be told. Bounded by the number of channels that are heard, and of those that were of late.
#[derive(Debug, Default)]
struct PendingWork {
    /// There is one. Without it nothing is added here, however long Redis is away: the next one asks what is heard.
    connected: bool,
    subscribe: Vec<Name>,
    unsubscribe: Vec<Name>,
    fill: Vec<BackfillTask>,
    /// The server unsubscribed us by itself: its slot has moved.
    moved: Vec<Name>,
}

impl PubSubWorker {
    pub(crate) fn new(id: usize, sharded: bool) -> Arc<Self> {
        Arc::new(Self {
            id,
            sharded,
            work: Mutex::default(),
            work_ready: Notify::new(),
            pushes: AtomicU64::new(0),
            connected: AtomicBool::new(false),
        })
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }

    /// Has a channel subscribed to and filled.
    pub(crate) fn subscribe(&self, name: Name) {
        self.tell(|work| work.subscribe.push(name));
    }

    /// Has a channel unsubscribed from, unless it is wanted again by then.
    pub(crate) fn unsubscribe(&self, name: Name) {
        self.tell(|work| work.unsubscribe.push(name));
    }

    /// Takes the names whose slot has moved to another node.
    pub(crate) fn take_moved(&self) -> Vec<Name> {
        mem::take(&mut self.work.lock().moved)
    }

    /// Listens at a target for ever; where that is may change, so it is asked for before each attempt.
    pub(crate) async fn listen(
        self: &Arc<Self>,
        context: &Arc<BrokerContext>,
        target: &impl AsyncFn() -> Result<ListenTarget, CallError>,
        on_change: &impl Fn(),
    ) {
        let mut backoff = Backoff::RECONNECT;
        let mut throttle = LogThrottle::default();
        let mut lost_before = false;
        let mut reached = context.commands.reached();
        let mut switched = context.commands.connector().switched.subscribe();
        loop {
            reached.mark_unchanged();
            // A primary that moves while the connect is under way has moved from the connection.
            switched.mark_unchanged();
            let listened = async {
                let target = target().await?;
                let (worker, to) = (self.clone(), context.clone());
                context.commands.listen(&target, move |push| worker.on_push(&to, push)).await
            };
            let reason = match listened.await {
                Ok(connection) => {
                    let connection = Arc::new(connection);
                    if mem::replace(&mut lost_before, true) {
                        count(&context.subscriptions.counters.reconnects);
                    }
                    // Redis is back: publishing need not wait until its next attempt is due.
                    context.commands.retry_now();
                    let begun = Instant::now();
                    let ended = self.serve(context, &connection, &mut switched, on_change).await;
                    // One that ends right after it began is no success.
                    if begun.elapsed() > Duration::from_secs(1) {
                        backoff.reset();
                        throttle.reset();
                    }
                    ended
                }
                Err(failure) => failure.to_string(),
            };
            self.stop(context);
            on_change();
            let wait = backoff.after_failure(fastrand::f64());
            if let Some(attempts) = throttle.record(&reason) {
                tracing::warn!(reason, attempts, retry_in = ?wait, "redis: not listening");
            }
            // Commands may reach Redis before that.
            tokio::select! {
                () = time::sleep(wait) => {}
                _ = reached.changed() => {}
            }
        }
    }

    /// Takes note that the connection has ended: no channel is live from here on. Readers stay; new ones wait.
    pub(crate) fn stop(&self, context: &BrokerContext) {
        *self.work.lock() = PendingWork::default();
        context.subscriptions.disconnected(self.id);
        self.connected.store(false, Ordering::Release);
    }

    /// Serves a connection until it ends; answers with why it did.
    async fn serve(
        &self,
        context: &Arc<BrokerContext>,
        connection: &Arc<PubSubConnection>,
        switched: &mut watch::Receiver<Option<Address>>,
        on_change: &impl Fn(),
    ) -> String {
        // Dropped, and so ended, with the connection: whatever they have not filled is filled anew by the next one.
        let mut backfills = JoinSet::new();
        let mut delayed = JoinSet::new();
        let mut queue = NodeQueues::new(CHANNELS_AT_ONCE, BACKFILLS_IN_FLIGHT_MAX);
        *self.work.lock() = PendingWork { connected: true, ..PendingWork::default() };
        let current = context.subscriptions.disconnected(self.id);
        if let Err(failure) = subscribe_to_control(context, connection).await {
            return failure.to_string();
        }
        if let Err(failure) = self.subscribe_to(context, connection, current).await {
            return failure.to_string();
        }
        self.connected.store(true, Ordering::Release);
        on_change();
        tracing::info!(server = %connection.address(), channels = context.subscriptions.len(), "redis: listening");

        let config = &context.config;
        let mut probe = every(config.probe_interval);
        let mut lag_timer = every(config.compare_interval);
        let mut reset_timer = every(RESET_INTERVAL);
        let mut pushes_before = self.pushes.load(Ordering::Relaxed);
        // Beside all else: it waits for answers, and meanwhile channels are subscribed to, filled, and probed.
        let mut lag_checking = pin!(Fuse::terminated());
        loop {
            let mut did = Ok(());
            context.fail_points.trip(FailPoint::Listening);
            tokio::select! {
                reason = connection.closed() => return reason,
                Ok(()) = switched.changed() => {
                    let primary = switched.borrow_and_update().clone();
                    if primary.is_some_and(|primary| primary != *connection.address()) {
                        did = Err(CallError::unavailable("the primary has moved"));
                    }
                }
                () = self.work_ready.notified() => did = self.tell_connection(context, connection).await,
                Some(filled) = backfills.join_next() => match filled {
                    Ok((target, failed)) => {
                        queue.ended(&target);
                        delay_backfills(&mut delayed, failed);
                    }
                    // It would not be filled until then.
                    Err(_) => did = Err(CallError::Protocol("filling channels was given up".to_owned())),
                },
                Some(again) = delayed.join_next() => match again {
                    Ok(again) => self.work.lock().fill.extend(again),
                    Err(_) => did = Err(CallError::Protocol("waiting to fill channels was given up".to_owned())),
                },
                _ = probe.tick() => {
                    let pushes = self.pushes.load(Ordering::Relaxed);
                    if mem::replace(&mut pushes_before, pushes) == pushes {
                        did = connection.check_primary().await;
                    }
                }
                _ = lag_timer.tick(), if lag_checking.is_terminated() => {
                    lag_checking.set(lag_check(context, self, connection).fuse());
                }
                compared = &mut lag_checking => did = compared,
                _ = reset_timer.tick() => {
                    context.subscriptions.counters.tell_again();
                    context.subscriptions.clear_foreign_epochs(self.id);
                }
            }
            if let Err(failure) = did {
                return failure.to_string();
            }
            self.start_backfills(context, connection, &mut backfills, &mut queue);
        }
    }

    /// Has a channel filled.
    pub(crate) fn fill(&self, fill: BackfillTask) {
        self.tell(|work| work.fill.push(fill));
    }

    fn tell(&self, add: impl FnOnce(&mut PendingWork)) {
        let mut work = self.work.lock();
        if work.connected {
            add(&mut work);
            drop(work);
            self.work_ready.notify_one();
        }
    }

    /// Tells the connection what it is to hear from now on, and what no longer.
    async fn tell_connection(&self, context: &BrokerContext, connection: &PubSubConnection) -> Result<(), CallError> {
        let (subscribe, unsubscribe) = {
            let mut work = self.work.lock();
            (mem::take(&mut work.subscribe), mem::take(&mut work.unsubscribe))
        };
        // First what is no longer wanted: a name in both is wanted again, and is no longer among these.
        let unwanted: Vec<_> = unsubscribe.into_iter().filter(|name| !context.subscriptions.contains(name)).collect();
        for names in unwanted.chunks(NAMES_PER_COMMAND) {
            if self.sharded {
                connection.sunsubscribe(names).await?;
            } else {
                connection.unsubscribe(names).await?;
            }
        }
        // One that has come to be wanted while that was under way is told next, after it. One that is no longer wanted
        // by now would never be unsubscribed from.
        let current = subscribe.into_iter().filter(|name| context.subscriptions.contains(name)).collect();
        self.subscribe_to(context, connection, current).await
    }

    async fn subscribe_to(
        &self,
        context: &BrokerContext,
        connection: &PubSubConnection,
        names: Vec<Name>,
    ) -> Result<(), CallError> {
        let mut pieces: VecDeque<&[Name]> = names.chunks(NAMES_PER_COMMAND).collect();
        while let Some(names) = pieces.pop_front() {
            let subscribed =
                if self.sharded { connection.ssubscribe(names).await } else { connection.subscribe(names).await };
            match subscribed {
                // From here on whatever is published arrives, and is held back until the log has what came before.
                Ok(()) => {
                    let confirmed = names.iter().filter_map(|name| context.subscriptions.confirmed(name, self.id));
                    let confirmed: Vec<_> = confirmed.collect();
                    self.tell(|work| work.fill.extend(confirmed));
                }
                // The user may not hear one of them. Anybody can name a channel, and must not make the others deaf.
                Err(CallError::Rejected(message)) if message.starts_with("NOPERM") => match names {
                    [name] => {
                        if context.subscriptions.counters.may_tell_refusal() {
                            tracing::warn!(name = %name.escape_ascii(), reason = message, "redis: a channel may not be listened to");
                        }
                    }
                    names => {
                        let (one, other) = names.split_at(names.len() / 2);
                        pieces.extend([one, other]);
                    }
                },
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// Begins as many fills as may be under way at once: so many for each node, as one that is away must not keep the
    /// channels of the others waiting.
    fn start_backfills(
        &self,
        context: &Arc<BrokerContext>,
        connection: &Arc<PubSubConnection>,
        backfills: &mut JoinSet<Filled>,
        queue: &mut NodeQueues,
    ) {
        let is_cluster = context.config.is_cluster();
        let target_of = |fill: &BackfillTask| {
            is_cluster
                .then(|| context.commands.target_of(context.keys.channel(&fill.channel).meta.as_bytes()))
                .flatten()
        };
        let new = mem::take(&mut self.work.lock().fill);
        for fill in new {
            queue.push(target_of(&fill), fill);
        }
        while let Some((target, some)) = queue.begin() {
            let (context, connection) = (context.clone(), connection.clone());
            backfills.spawn(async move { (target, fill(context, &connection, some).await) });
        }
    }

    /// Takes a push, in the task that reads the socket.
    fn on_push(&self, context: &BrokerContext, push: PushInfo) {
        self.pushes.fetch_add(1, Ordering::Relaxed);
        context.fail_points.trip(FailPoint::Push);
        let mut data = push.data.into_iter();
        match (push.kind, data.next(), data.next()) {
            (
                PushKind::Message | PushKind::SMessage,
                Some(Value::BulkString(name)),
                Some(Value::BulkString(payload)),
            ) => {
                if name == context.keys.control().as_bytes() {
                    self.on_control(context, &payload);
                } else if let Call::Fill(fill) = context.subscriptions.arrive(&name, &payload) {
                    self.tell(|work| work.fill.push(fill));
                }
            }
            // By the pattern of the control channel.
            (PushKind::PMessage, _, Some(Value::BulkString(name))) => {
                if let Some(Value::BulkString(payload)) = data.next()
                    && name == context.keys.control().as_bytes()
                {
                    self.on_control(context, &payload);
                }
            }
            (PushKind::SUnsubscribe, Some(Value::BulkString(name)), _) => {
                let name: Name = name.into();
                // Unasked, if it is still wanted: the slot has moved.
                if context.subscriptions.contains(&name) {
                    self.work.lock().moved.push(name);
                    context.connected.send_modify(|_| {});
                }
            }
            _ => {}
        }
    }

    /// Handles what a node published on the control channel: a control message of its hub, or the name of a channel that
    /// it deleted. The deleted channel's log is backfilled, and starts over.
    fn on_control(&self, context: &BrokerContext, message: &[u8]) {
        if let Some(message) = message.strip_prefix(&CONTROL_MESSAGE) {
            if let Some(deliveries) = context.subscriptions.deliveries() {
                deliveries.control(message);
            }
        } else if let Some(fill) = context.subscriptions.request_backfill(&message.into()) {
            self.tell(|work| work.fill.push(fill));
        }
    }
}

/// The first byte of a control message on the control channel. No channel's name has it, and nodes of earlier versions,
/// which take every payload for a name, know no channel of that name.
const CONTROL_MESSAGE: [u8; 1] = [1];

/// Returns the payload that carries a control message.
pub(crate) fn control_payload(message: &[u8]) -> Vec<u8> {
    [&CONTROL_MESSAGE, message].concat()
}

/// Subscribes to the control channel: by a pattern, or by its name if the user may
/// not use the pattern.
async fn subscribe_to_control(context: &BrokerContext, connection: &PubSubConnection) -> Result<(), CallError> {
    match connection.psubscribe(&[context.keys.control_pattern()]).await {
        Err(CallError::Rejected(message)) if message.starts_with("NOPERM") => {
            connection.subscribe(&[context.keys.control()]).await
        }
        subscribed => subscribed,
    }
}

/// The channels that wait to be filled, by node; `None` outside of a Cluster, and if no node has the slot.
type NodeQueues = BackfillQueue<Option<ListenTarget>, BackfillTask>;

/// At which node channels were filled, and those that could not be.
type Filled = (Option<ListenTarget>, Vec<BackfillTask>);

/// Has channels that could not be filled wait for their turn to be tried again, without keeping others from theirs.
fn delay_backfills(delayed: &mut JoinSet<Vec<BackfillTask>>, mut failed: Vec<BackfillTask>) {
    let waits = failed.iter_mut().map(|fill| fill.backoff.after_failure(fastrand::f64()));
    if let Some(wait) = waits.max() {
        delayed.spawn(async move {
            time::sleep(wait).await;
            failed
        });
    }
}

/// A timer that begins with a pause; zero is never.
fn every(interval: Duration) -> Interval {
    const NEVER: Duration = Duration::from_secs(10 * 365 * 86_400);
    let mut timer = time::interval(if interval.is_zero() { NEVER } else { interval });
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timer.reset();
    timer
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::copy_bidirectional,
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::{
        RedisConfig,
        server::{PATIENCE, Server},
    };

    /// What a Sentinel told while the connection to the old primary was on its way was not noticed.
    #[tokio::test]
    async fn a_primary_that_moves_during_the_connect_is_left() {
        let server = Server::start(&[]);
        let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://127.0.0.1:{}", proxy.local_addr().unwrap().port());
        let context = BrokerContext::new(RedisConfig::from_url(&url).unwrap()).unwrap();
        let (to, port) = (context.clone(), server.port);
        let connected_twice = async move {
            let (mut old, _) = proxy.accept().await.unwrap();
            let primary = Address::Tcp { host: "127.0.0.1".to_owned(), port };
            to.commands.connector().switched.send_replace(Some(primary));
            tokio::spawn(async move {
                let mut redis = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let _ = copy_bidirectional(&mut old, &mut redis).await;
            });
            proxy.accept().await.unwrap();
        };
        let target = async || Ok(context.commands.listen_targets(false).await?.remove(0));
        let worker = PubSubWorker::new(0, false);
        tokio::select! {
            () = worker.listen(&context, &target, &|| {}) => {}
            connected = time::timeout(PATIENCE, connected_twice) => connected.expect("it connects again"),
        }
    }

    /// What pages came and went while Redis was away was once kept to be told, hours of it.
    #[test]
    fn what_is_to_be_told_is_not_kept_while_nobody_can_be_told() {
        let worker = PubSubWorker::new(0, false);
        let channels = |work: &PendingWork| (work.subscribe.len(), work.unsubscribe.len());
        let come_and_go = |id: u32| {
            let name: Name = id.to_string().into_bytes().into();
            worker.subscribe(name.clone());
            worker.unsubscribe(name);
        };
        (0..1_000).for_each(come_and_go);
        assert_eq!(channels(&worker.work.lock()), (0, 0));
        worker.work.lock().connected = true;
        (0..1_000).for_each(come_and_go);
        assert_eq!(channels(&worker.work.lock()), (1_000, 1_000));
    }
}
