//! Who listens where: one ear, or in a Cluster with sharded channels one for each primary.
//!
//! Names are given to ears here, and given to others when a slot moves. An ear lives until its node is none of the
//! Cluster's primaries.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tidecast::Channel;
use tokio::{
    runtime::Handle,
    task::JoinHandle,
    time::{self, Instant},
};

use crate::{
    commands::ListenTarget,
    config::Servers,
    context::Shared,
    error::Failure,
    log_throttle::Repeats,
    pubsub::sentinel_watch::watch,
    pubsub::worker::Ear,
    socket::Address,
    supervise::{Fault, supervise},
};

/// How often a Cluster is asked where its slots are, if nothing tells that one has moved.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// At least how long between two such questions.
const LOOK_NO_SOONER: Duration = Duration::from_millis(100);

/// The number of an ear that a name has for which no node is known.
const NOBODY: usize = usize::MAX;

/// See the module.
#[derive(Debug)]
pub(crate) struct Listener {
    shared: Arc<Shared>,
    runtime: Handle,
    sharded: bool,
    ears: Mutex<Ears>,
}

#[derive(Debug, Default)]
struct Ears {
    listening: Vec<Listening>,
    next_number: usize,
    router: Option<JoinHandle<()>>,
    /// One for each Sentinel.
    watches: Vec<JoinHandle<()>>,
    closed: bool,
}

#[derive(Debug)]
struct Listening {
    ear: Arc<Ear>,
    /// `None`: wherever the primary is, or any.
    target: Option<ListenTarget>,
    task: JoinHandle<()>,
}

impl Listener {
    pub(crate) fn new(shared: Arc<Shared>, runtime: Handle) -> Arc<Self> {
        let sharded = shared.config.is_sharded();
        Arc::new(Self { shared, runtime, sharded, ears: Mutex::default() })
    }

    /// Begins to listen.
    pub(crate) fn start(self: &Arc<Self>) {
        if let Servers::Sentinel { sentinels, service, .. } = &self.shared.config.servers {
            let watches = sentinels.iter().map(|sentinel| self.watch(sentinel.clone(), service.clone()));
            let watches: Vec<_> = watches.collect();
            self.ears.lock().watches = watches;
        }
        if !self.sharded {
            self.add_ear(None);
            return;
        }
        let listener = self.clone();
        let router = self.runtime.spawn(async move {
            let restarts = &listener.shared.heard.counters.task_restarts;
            supervise("routing", restarts, || listener.route_for_ever(), || {}).await;
        });
        self.ears.lock().router = Some(router);
    }

    fn watch(&self, sentinel: Address, service: String) -> JoinHandle<()> {
        let shared = self.shared.clone();
        self.runtime.spawn(async move {
            let restarts = &shared.heard.counters.task_restarts;
            supervise("watching a sentinel", restarts, || watch(&shared, &sentinel, &service), || {}).await;
        })
    }

    /// Stops for good.
    pub(crate) fn close(&self) {
        let mut ears = self.ears.lock();
        ears.closed = true;
        ears.watches.drain(..).for_each(|watch| watch.abort());
        if let Some(router) = ears.router.take() {
            router.abort();
        }
        for listening in ears.listening.drain(..) {
            listening.task.abort();
        }
    }

    /// Has a channel listened to.
    pub(crate) fn subscribe(&self, channel: &Channel) {
        let name = self.shared.name(channel);
        let ear = if self.sharded { self.ear_of(&name) } else { self.only_ear() };
        let number = ear.as_ref().map_or(NOBODY, |ear| ear.number);
        if self.shared.heard.add(&name, channel, number) {
            match ear {
                Some(ear) => ear.subscribe(name),
                // The router finds who is to.
                None => self.shared.connected.send_modify(|_| {}),
            }
        }
    }

    /// Has a channel no longer listened to, unless it is read again.
    pub(crate) fn release(&self, channel: &Channel) {
        let name = self.shared.name(channel);
        let Some(number) = self.shared.heard.remove(&name, channel) else { return };
        if let Some(ear) = self.ear(number) {
            ear.unsubscribe(name);
        }
    }

    fn only_ear(&self) -> Option<Arc<Ear>> {
        self.ears.lock().listening.first().map(|listening| listening.ear.clone())
    }

    fn ear(&self, number: usize) -> Option<Arc<Ear>> {
        let ears = self.ears.lock();
        ears.listening.iter().map(|listening| &listening.ear).find(|ear| ear.number == number).cloned()
    }

    /// The ear at the node that has a name's slot, as far as is known.
    fn ear_of(&self, name: &[u8]) -> Option<Arc<Ear>> {
        let target = self.shared.commands.target_of(name)?;
        let ears = self.ears.lock();
        ears.listening.iter().find(|listening| listening.target.as_ref() == Some(&target)).map(|it| it.ear.clone())
    }

    fn add_ear(self: &Arc<Self>, target: Option<ListenTarget>) {
        let mut ears = self.ears.lock();
        if ears.closed {
            return;
        }
        let ear = Ear::new(ears.next_number, self.sharded);
        ears.next_number += 1;
        let (listener, shared) = (self.clone(), self.shared.clone());
        let fixed = target.clone();
        let where_to = async move || match &fixed {
            Some(target) => Ok(target.clone()),
            None => {
                let any = shared.commands.listen_targets(false).await?.into_iter().next();
                any.ok_or_else(|| Failure::not_done("no primary is known"))
            }
        };
        let (heard_by, to) = (ear.clone(), self.shared.clone());
        let task = self.runtime.spawn(async move {
            let on_change = || listener.tell_connected();
            let on_end = || {
                heard_by.stop(&to);
                on_change();
            };
            let restarts = &to.heard.counters.task_restarts;
            supervise("listening", restarts, || heard_by.listen(&to, &where_to, &on_change), on_end).await;
        });
        ears.listening.push(Listening { ear, target, task });
    }

    /// Tells whoever waits for Redis how things stand.
    fn tell_connected(&self) {
        // Looked at inside, so that of two ears that change at once the second one's look is the last word.
        self.shared.connected.send_if_modified(|before| {
            let ears = self.ears.lock();
            let connected =
                !ears.listening.is_empty() && ears.listening.iter().all(|listening| listening.ear.is_connected());
            std::mem::replace(before, connected) != connected
        });
    }

    /// Keeps an ear at each primary, and each name at the ear of the node that has its slot.
    async fn route_for_ever(self: &Arc<Self>) {
        let mut changes = self.shared.connected.subscribe();
        let mut repeats = Repeats::default();
        loop {
            let looked = Instant::now();
            self.shared.faults.strike(Fault::Routing);
            // Whatever changes from here on is looked at in the next round.
            changes.mark_unchanged();
            match self.shared.commands.listen_targets(true).await {
                Ok(targets) => {
                    repeats.reset();
                    self.keep_ears_at(targets);
                    self.route();
                    self.tell_connected();
                }
                Err(failure) => {
                    let reason = failure.to_string();
                    if let Some(attempts) = repeats.count(&reason) {
                        tracing::warn!(reason, attempts, "redis: where to listen is not known");
                    }
                }
            }
            let _ = time::timeout(LOOK_AGAIN, changes.changed()).await;
            time::sleep_until(looked + LOOK_NO_SOONER).await;
        }
    }

    fn keep_ears_at(self: &Arc<Self>, targets: Vec<ListenTarget>) {
        let gone: Vec<_> = {
            let mut ears = self.ears.lock();
            let is_gone = |listening: &mut Listening| {
                listening.task.is_finished()
                    || !listening.target.as_ref().is_some_and(|target| targets.contains(target))
            };
            ears.listening.extract_if(.., is_gone).collect()
        };
        for listening in gone {
            listening.task.abort();
            self.shared.heard.cut_off(listening.ear.number);
        }
        for target in targets {
            let is_there =
                self.ears.lock().listening.iter().any(|listening| listening.target.as_ref() == Some(&target));
            if !is_there {
                self.add_ear(Some(target));
            }
        }
    }

    fn route(&self) {
        let ears: Vec<_> = self.ears.lock().listening.iter().map(|listening| listening.ear.clone()).collect();
        let moved: Vec<_> = ears.iter().flat_map(|ear| ear.take_moved()).collect();
        for (name, number) in self.shared.heard.names() {
            match self.ear_of(&name) {
                Some(ear) if ear.number != number || moved.contains(&name) => {
                    self.shared.heard.assign(&name, ear.number);
                    ear.subscribe(name);
                }
                // Nobody has its slot for now. It is given to whoever has it later, be it the one before.
                None if number != NOBODY => self.shared.heard.assign(&name, NOBODY),
                _ => {}
            }
        }
    }
}
