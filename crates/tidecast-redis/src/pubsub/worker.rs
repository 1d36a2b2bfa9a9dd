//! One listening connection and its life: connect, subscribe to what is wanted, have it filled, watch that it is not
//! deaf, and begin again for ever when it ends.
//!
//! What arrives goes from the task that reads the socket straight to `heard`; this task sends and keeps watch only. An
//! ear remembers no channels: what it is to hear stands in `heard`, so after a break it subscribes to what is wanted
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
    backoff::Backoff,
    commands::ListenTarget,
    context::Shared,
    error::Failure,
    log_throttle::Repeats,
    pubsub::backfill::{CHANNELS_AT_ONCE, fill},
    pubsub::backfill_queue::Queues,
    pubsub::connection::ListenConnection,
    pubsub::lag_check::compare,
    pubsub::subscriptions::{Call, Name, ToFill},
    socket::Address,
    stats::count,
    supervise::Fault,
};

/// Most names in one command.
const NAMES_AT_ONCE: usize = 512;

/// Most fills at once at one node: each is a pipeline of up to [`CHANNELS_AT_ONCE`] channels.
const FILLS_AT_ONCE: usize = 8;

/// How often, at most, a payload that is no event is told in the log; and for how long an epoch is taken to be of another
/// database before it is looked up again.
const FORGET_EVERY: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub(crate) struct Ear {
    pub(crate) number: usize,
    /// Whether it listens to sharded channels.
    sharded: bool,
    todo: Mutex<Todo>,
    news: Notify,
    /// How many pushes have come, so that an idle connection is seen.
    pushes: AtomicU64,
    connected: AtomicBool,
}

/// What the connection is to be told. Bounded by the number of channels that are heard, and of those that were of late.
#[derive(Debug, Default)]
struct Todo {
    /// There is one. Without it nothing is added here, however long Redis is away: the next one asks what is heard.
    connected: bool,
    subscribe: Vec<Name>,
    unsubscribe: Vec<Name>,
    fill: Vec<ToFill>,
    /// The server unsubscribed us by itself: its slot has moved.
    moved: Vec<Name>,
}

impl Ear {
    pub(crate) fn new(number: usize, sharded: bool) -> Arc<Self> {
        Arc::new(Self {
            number,
            sharded,
            todo: Mutex::default(),
            news: Notify::new(),
            pushes: AtomicU64::new(0),
            connected: AtomicBool::new(false),
        })
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }

    /// Has a channel subscribed to and filled.
    pub(crate) fn subscribe(&self, name: Name) {
        self.tell(|todo| todo.subscribe.push(name));
    }

    /// Has a channel unsubscribed from, unless it is wanted again by then.
    pub(crate) fn unsubscribe(&self, name: Name) {
        self.tell(|todo| todo.unsubscribe.push(name));
    }

    /// Takes the names whose slot has moved to another node.
    pub(crate) fn take_moved(&self) -> Vec<Name> {
        mem::take(&mut self.todo.lock().moved)
    }

    /// Listens at a target for ever; where that is may change, so it is asked for before each attempt.
    pub(crate) async fn listen(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        target: &impl AsyncFn() -> Result<ListenTarget, Failure>,
        on_change: &impl Fn(),
    ) {
        let mut backoff = Backoff::RECONNECT;
        let mut repeats = Repeats::default();
        let mut lost_before = false;
        let mut reached = shared.commands.reached();
        let mut switched = shared.commands.connector().switched.subscribe();
        loop {
            reached.mark_unchanged();
            // A primary that moves while the connect is under way has moved from the connection.
            switched.mark_unchanged();
            let listened = async {
                let target = target().await?;
                let (ear, to) = (self.clone(), shared.clone());
                shared.commands.listen(&target, move |push| ear.on_push(&to, push)).await
            };
            let reason = match listened.await {
                Ok(connection) => {
                    let connection = Arc::new(connection);
                    if mem::replace(&mut lost_before, true) {
                        count(&shared.heard.counters.reconnects);
                    }
                    // Redis is back: publishing need not wait until its next attempt is due.
                    shared.commands.retry_now();
                    let begun = Instant::now();
                    let ended = self.serve(shared, &connection, &mut switched, on_change).await;
                    // One that ends right after it began is no success.
                    if begun.elapsed() > Duration::from_secs(1) {
                        backoff.reset();
                        repeats.reset();
                    }
                    ended
                }
                Err(failure) => failure.to_string(),
            };
            self.stop(shared);
            on_change();
            let wait = backoff.after_failure(fastrand::f64());
            if let Some(attempts) = repeats.count(&reason) {
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
    pub(crate) fn stop(&self, shared: &Shared) {
        *self.todo.lock() = Todo::default();
        shared.heard.cut_off(self.number);
        self.connected.store(false, Ordering::Release);
    }

    /// Serves a connection until it ends; answers with why it did.
    async fn serve(
        &self,
        shared: &Arc<Shared>,
        connection: &Arc<ListenConnection>,
        switched: &mut watch::Receiver<Option<Address>>,
        on_change: &impl Fn(),
    ) -> String {
        // Dropped, and so ended, with the connection: whatever they have not filled is filled anew by the next one.
        let mut fills = JoinSet::new();
        let mut put_off = JoinSet::new();
        let mut queues = FillQueues::new(CHANNELS_AT_ONCE, FILLS_AT_ONCE);
        *self.todo.lock() = Todo { connected: true, ..Todo::default() };
        let wanted = shared.heard.cut_off(self.number);
        if let Err(failure) = subscribe_to_control(shared, connection).await {
            return failure.to_string();
        }
        if let Err(failure) = self.subscribe_to(shared, connection, wanted).await {
            return failure.to_string();
        }
        self.connected.store(true, Ordering::Release);
        on_change();
        tracing::info!(server = %connection.address(), channels = shared.heard.len(), "redis: listening");

        let config = &shared.config;
        let mut probe = every(config.probe_interval);
        let mut comparison = every(config.compare_interval);
        let mut forgetting = every(FORGET_EVERY);
        let mut pushes_before = self.pushes.load(Ordering::Relaxed);
        // Beside all else: it waits for answers, and meanwhile channels are subscribed to, filled, and probed.
        let mut comparing = pin!(Fuse::terminated());
        loop {
            let mut did = Ok(());
            shared.faults.strike(Fault::Listening);
            tokio::select! {
                reason = connection.closed() => return reason,
                Ok(()) = switched.changed() => {
                    let primary = switched.borrow_and_update().clone();
                    if primary.is_some_and(|primary| primary != *connection.address()) {
                        did = Err(Failure::not_done("the primary has moved"));
                    }
                }
                () = self.news.notified() => did = self.tell_connection(shared, connection).await,
                Some(filled) = fills.join_next() => match filled {
                    Ok((target, failed)) => {
                        queues.ended(&target);
                        put_off_fills(&mut put_off, failed);
                    }
                    // It would not be filled until then.
                    Err(_) => did = Err(Failure::Broken("filling channels was given up".to_owned())),
                },
                Some(again) = put_off.join_next() => match again {
                    Ok(again) => self.todo.lock().fill.extend(again),
                    Err(_) => did = Err(Failure::Broken("waiting to fill channels was given up".to_owned())),
                },
                _ = probe.tick() => {
                    let pushes = self.pushes.load(Ordering::Relaxed);
                    if mem::replace(&mut pushes_before, pushes) == pushes {
                        did = connection.check_primary().await;
                    }
                }
                _ = comparison.tick(), if comparing.is_terminated() => {
                    comparing.set(compare(shared, self, connection).fuse());
                }
                compared = &mut comparing => did = compared,
                _ = forgetting.tick() => {
                    shared.heard.counters.tell_again();
                    shared.heard.forget_strangers(self.number);
                }
            }
            if let Err(failure) = did {
                return failure.to_string();
            }
            self.begin_fills(shared, connection, &mut fills, &mut queues);
        }
    }

    /// Has a channel filled.
    pub(crate) fn fill(&self, fill: ToFill) {
        self.tell(|todo| todo.fill.push(fill));
    }

    fn tell(&self, add: impl FnOnce(&mut Todo)) {
        let mut todo = self.todo.lock();
        if todo.connected {
            add(&mut todo);
            drop(todo);
            self.news.notify_one();
        }
    }

    /// Tells the connection what it is to hear from now on, and what no longer.
    async fn tell_connection(&self, shared: &Shared, connection: &ListenConnection) -> Result<(), Failure> {
        let (subscribe, unsubscribe) = {
            let mut todo = self.todo.lock();
            (mem::take(&mut todo.subscribe), mem::take(&mut todo.unsubscribe))
        };
        // First what is no longer wanted: a name in both is wanted again, and is no longer among these.
        let unwanted: Vec<_> = unsubscribe.into_iter().filter(|name| !shared.heard.contains(name)).collect();
        for names in unwanted.chunks(NAMES_AT_ONCE) {
            if self.sharded {
                connection.sunsubscribe(names).await?;
            } else {
                connection.unsubscribe(names).await?;
            }
        }
        // One that has come to be wanted while that was under way is told next, after it. One that is no longer wanted
        // by now would never be unsubscribed from.
        let wanted = subscribe.into_iter().filter(|name| shared.heard.contains(name)).collect();
        self.subscribe_to(shared, connection, wanted).await
    }

    async fn subscribe_to(
        &self,
        shared: &Shared,
        connection: &ListenConnection,
        names: Vec<Name>,
    ) -> Result<(), Failure> {
        let mut pieces: VecDeque<&[Name]> = names.chunks(NAMES_AT_ONCE).collect();
        while let Some(names) = pieces.pop_front() {
            let subscribed =
                if self.sharded { connection.ssubscribe(names).await } else { connection.subscribe(names).await };
            match subscribed {
                // From here on whatever is published arrives, and is held back until the log has what came before.
                Ok(()) => {
                    let confirmed = names.iter().filter_map(|name| shared.heard.confirmed(name, self.number));
                    let confirmed: Vec<_> = confirmed.collect();
                    self.tell(|todo| todo.fill.extend(confirmed));
                }
                // The user may not hear one of them. Anybody can name a channel, and must not make the others deaf.
                Err(Failure::Refused(words)) if words.starts_with("NOPERM") => match names {
                    [name] => {
                        if shared.heard.counters.may_tell_refusal() {
                            tracing::warn!(name = %name.escape_ascii(), reason = words, "redis: a channel may not be listened to");
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
    fn begin_fills(
        &self,
        shared: &Arc<Shared>,
        connection: &Arc<ListenConnection>,
        fills: &mut JoinSet<Filled>,
        queues: &mut FillQueues,
    ) {
        let is_cluster = shared.config.is_cluster();
        let target_of = |fill: &ToFill| {
            is_cluster.then(|| shared.commands.target_of(shared.keys.channel(&fill.channel).meta.as_bytes())).flatten()
        };
        let new = mem::take(&mut self.todo.lock().fill);
        for fill in new {
            queues.push(target_of(&fill), fill);
        }
        while let Some((target, some)) = queues.begin() {
            let (shared, connection) = (shared.clone(), connection.clone());
            fills.spawn(async move { (target, fill(shared, &connection, some).await) });
        }
    }

    /// Takes a push, in the task that reads the socket.
    fn on_push(&self, shared: &Shared, push: PushInfo) {
        self.pushes.fetch_add(1, Ordering::Relaxed);
        shared.faults.strike(Fault::Push);
        let mut data = push.data.into_iter();
        match (push.kind, data.next(), data.next()) {
            (
                PushKind::Message | PushKind::SMessage,
                Some(Value::BulkString(name)),
                Some(Value::BulkString(payload)),
            ) => {
                if name == shared.keys.control().as_bytes() {
                    self.on_control(shared, &payload);
                } else if let Call::Fill(fill) = shared.heard.arrive(&name, &payload) {
                    self.tell(|todo| todo.fill.push(fill));
                }
            }
            // By the pattern of the channel on which deletions are told.
            (PushKind::PMessage, _, Some(Value::BulkString(name))) => {
                if let Some(Value::BulkString(payload)) = data.next()
                    && name == shared.keys.control().as_bytes()
                {
                    self.on_control(shared, &payload);
                }
            }
            (PushKind::SUnsubscribe, Some(Value::BulkString(name)), _) => {
                let name: Name = name.into();
                // Unasked, if it is still wanted: the slot has moved.
                if shared.heard.contains(&name) {
                    self.todo.lock().moved.push(name);
                    shared.connected.send_modify(|_| {});
                }
            }
            _ => {}
        }
    }

    /// A channel was deleted, by some node: its log is asked about, and starts over.
    fn on_control(&self, shared: &Shared, message: &[u8]) {
        if let Some(fill) = shared.heard.refill(&message.into()) {
            self.tell(|todo| todo.fill.push(fill));
        }
    }
}

/// Subscribes to the channel on which nodes tell each other of deletions: by a pattern, or by its name if the user may
/// not use the pattern.
async fn subscribe_to_control(shared: &Shared, connection: &ListenConnection) -> Result<(), Failure> {
    match connection.psubscribe(&[shared.keys.control_pattern()]).await {
        Err(Failure::Refused(words)) if words.starts_with("NOPERM") => {
            connection.subscribe(&[shared.keys.control()]).await
        }
        subscribed => subscribed,
    }
}

/// The channels that wait to be filled, by node; `None` outside of a Cluster, and if no node has the slot.
type FillQueues = Queues<Option<ListenTarget>, ToFill>;

/// At which node channels were filled, and those that could not be.
type Filled = (Option<ListenTarget>, Vec<ToFill>);

/// Has channels that could not be filled wait for their turn to be tried again, without keeping others from theirs.
fn put_off_fills(put_off: &mut JoinSet<Vec<ToFill>>, mut failed: Vec<ToFill>) {
    let waits = failed.iter_mut().map(|fill| fill.backoff.after_failure(fastrand::f64()));
    if let Some(wait) = waits.max() {
        put_off.spawn(async move {
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
        let shared = Shared::new(RedisConfig::from_url(&url).unwrap()).unwrap();
        let (to, port) = (shared.clone(), server.port);
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
        let target = async || Ok(shared.commands.listen_targets(false).await?.remove(0));
        let ear = Ear::new(0, false);
        tokio::select! {
            () = ear.listen(&shared, &target, &|| {}) => {}
            connected = time::timeout(PATIENCE, connected_twice) => connected.expect("it connects again"),
        }
    }

    /// What pages came and went while Redis was away was once kept to be told, hours of it.
    #[test]
    fn what_is_to_be_told_is_not_kept_while_nobody_can_be_told() {
        let ear = Ear::new(0, false);
        let channels = |todo: &Todo| (todo.subscribe.len(), todo.unsubscribe.len());
        let come_and_go = |number: u32| {
            let name: Name = number.to_string().into_bytes().into();
            ear.subscribe(name.clone());
            ear.unsubscribe(name);
        };
        (0..1_000).for_each(come_and_go);
        assert_eq!(channels(&ear.todo.lock()), (0, 0));
        ear.todo.lock().connected = true;
        (0..1_000).for_each(come_and_go);
        assert_eq!(channels(&ear.todo.lock()), (1_000, 1_000));
    }
}
