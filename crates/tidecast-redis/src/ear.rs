//! One listening connection and its life: connect, subscribe to what is wanted, have it filled, watch that it is not
//! deaf, and begin again for ever when it ends.
//!
//! What arrives goes from the task that reads the socket straight to `heard`; this task sends and keeps watch only. An
//! ear remembers no channels: what it is to hear stands in `heard`, so after a break it subscribes to what is wanted
//! then. `listener` says where it listens.

use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use redis::{PushInfo, PushKind, Value};
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{self, Instant, Interval, MissedTickBehavior},
};

use crate::{
    backoff::Backoff,
    commands::ListenTarget,
    compare::compare,
    failure::Failure,
    filling::{CHANNELS_AT_ONCE, fill},
    heard::{Call, Name, ToFill},
    listen_connection::ListenConnection,
    shared::Shared,
    stats::count,
};

/// Most names in one command.
const NAMES_AT_ONCE: usize = 512;

/// Most fills at once: each is a pipeline of up to [`CHANNELS_AT_ONCE`] channels.
const FILLS_AT_ONCE: usize = 8;

/// How often, at most, a payload that is no event is told in the log.
const TELL_POISON_EVERY: Duration = Duration::from_secs(10);

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
    subscribe: Vec<Name>,
    unsubscribe: Vec<Name>,
    fill: VecDeque<ToFill>,
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
        self.todo.lock().subscribe.push(name);
        self.news.notify_one();
    }

    /// Has a channel unsubscribed from, unless it is wanted again by then.
    pub(crate) fn unsubscribe(&self, name: Name) {
        self.todo.lock().unsubscribe.push(name);
        self.news.notify_one();
    }

    /// Has a channel's log filled.
    pub(crate) fn fill(&self, fill: ToFill) {
        self.todo.lock().fill.push_back(fill);
        self.news.notify_one();
    }

    /// Takes the names whose slot has moved to another node.
    pub(crate) fn take_moved(&self) -> Vec<Name> {
        mem::take(&mut self.todo.lock().moved)
    }

    /// Listens at a target for ever; where that is may change, so it is asked for before each attempt. Ends when there is
    /// none.
    pub(crate) async fn listen(
        self: Arc<Self>,
        shared: Arc<Shared>,
        target: impl AsyncFn() -> Result<Option<ListenTarget>, Failure>,
        on_change: impl Fn(),
    ) {
        let mut backoff = Backoff::RECONNECT;
        let mut lost_before = false;
        loop {
            let listened = async {
                let Some(target) = target().await? else { return Ok(None) };
                let ear = self.clone();
                let to = shared.clone();
                shared.commands.listen(&target, move |push| ear.on_push(&to, push)).await.map(Some)
            };
            let reason = match listened.await {
                Ok(None) => return,
                Ok(Some(connection)) => {
                    if mem::replace(&mut lost_before, true) {
                        count(&shared.heard.counters.reconnects);
                    }
                    let begun = Instant::now();
                    let ended = self.serve(&shared, &connection, &on_change).await;
                    // One that ends right after it began is no success.
                    if begun.elapsed() > Duration::from_secs(1) {
                        backoff.reset();
                    }
                    ended
                }
                Err(failure) => failure.to_string(),
            };
            self.connected.store(false, Ordering::Release);
            on_change();
            // None is live from here on. Whoever reads stays; whoever comes waits.
            shared.heard.cut_off(self.number);
            let wait = backoff.after_failure(fastrand::f64());
            tracing::warn!(reason, retry_in = ?wait, "redis: not listening");
            time::sleep(wait).await;
        }
    }

    /// Serves a connection until it ends; answers with why it did.
    async fn serve(&self, shared: &Arc<Shared>, connection: &ListenConnection, on_change: &impl Fn()) -> String {
        // Dropped, and so ended, with the connection: whatever they have not filled is filled anew by the next one.
        let mut fills = JoinSet::new();
        *self.todo.lock() = Todo::default();
        let wanted = shared.heard.cut_off(self.number);
        let control = shared.keys.control();
        if let Err(failure) = connection.subscribe(&[control.as_bytes()]).await {
            return failure.to_string();
        }
        if let Err(failure) = self.subscribe_to(shared, connection, wanted).await {
            return failure.to_string();
        }
        self.connected.store(true, Ordering::Release);
        on_change();
        tracing::info!(channels = shared.heard.len(), "redis: listening");

        let config = &shared.config;
        let mut probe = every(config.probe_interval);
        let mut comparison = every(config.compare_interval);
        let mut poison = every(TELL_POISON_EVERY);
        let mut pushes_before = self.pushes.load(Ordering::Relaxed);
        loop {
            let mut did = Ok(());
            tokio::select! {
                reason = connection.closed() => return reason,
                () = self.news.notified() => did = self.tell(shared, connection).await,
                Some(_) = fills.join_next() => {}
                _ = probe.tick() => {
                    let pushes = self.pushes.load(Ordering::Relaxed);
                    if mem::replace(&mut pushes_before, pushes) == pushes {
                        did = connection.ping().await;
                    }
                }
                _ = comparison.tick() => did = compare(shared, self).await,
                _ = poison.tick() => shared.heard.counters.tell_again(),
            }
            if let Err(failure) = did {
                return failure.to_string();
            }
            self.begin_fills(shared, &mut fills);
        }
    }

    /// Tells the connection what it is to hear from now on, and what no longer.
    async fn tell(&self, shared: &Shared, connection: &ListenConnection) -> Result<(), Failure> {
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
        // One that has come to be wanted while that was under way is told next, after it.
        self.subscribe_to(shared, connection, subscribe).await
    }

    async fn subscribe_to(
        &self,
        shared: &Shared,
        connection: &ListenConnection,
        names: Vec<Name>,
    ) -> Result<(), Failure> {
        for names in names.chunks(NAMES_AT_ONCE) {
            if self.sharded {
                connection.ssubscribe(names).await?;
            } else {
                connection.subscribe(names).await?;
            }
            // From here on whatever is published arrives, and is held back until the log has what came before.
            let confirmed = names.iter().filter_map(|name| shared.heard.confirmed(name));
            self.todo.lock().fill.extend(confirmed);
            self.news.notify_one();
        }
        Ok(())
    }

    /// Begins as many fills as may be under way at once.
    fn begin_fills(&self, shared: &Arc<Shared>, fills: &mut JoinSet<()>) {
        while fills.len() < FILLS_AT_ONCE {
            let some: Vec<_> = {
                let mut todo = self.todo.lock();
                let few = todo.fill.len().min(CHANNELS_AT_ONCE);
                todo.fill.drain(..few).collect()
            };
            if some.is_empty() {
                return;
            }
            fills.spawn(fill(shared.clone(), some));
        }
    }

    /// Takes a push, in the task that reads the socket.
    fn on_push(&self, shared: &Shared, push: PushInfo) {
        self.pushes.fetch_add(1, Ordering::Relaxed);
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
                    self.fill(fill);
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
            self.fill(fill);
        }
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
