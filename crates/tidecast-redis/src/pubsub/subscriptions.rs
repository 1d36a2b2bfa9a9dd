//! The table of subscribed channels: the phase of each, and the handling of messages.
//!
//! A channel is subscribed to, its log is backfilled, and then it is live: a message is appended to the log in the task
//! that reads the socket, without a queue. Messages that arrive earlier are buffered. One that does not follow the log
//! starts another backfill. Nothing here waits or talks to Redis; `worker` and `backfill` do.

mod arrival;
mod backfill_task;
mod channel;
mod go_live;
mod message;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, OnceLock},
    time::Duration,
};

use parking_lot::Mutex;
use tidecast::{Channel, Epoch, broker::Deliveries};

use self::channel::{Phase, SubscribedChannel};
use crate::stats::RedisCounters;

pub(crate) use self::{
    backfill_task::{BackfillCause, BackfillTask, LiveFrom},
    go_live::GoLive,
};

/// The name of a channel in Redis' pub/sub: the channel's own name, or one with Tidecast's prefix.
pub(crate) type PubSubName = Arc<[u8]>;

/// Numbers the pub/sub workers in the order of their creation.
pub(crate) type WorkerId = usize;

/// The table of subscribed channels, shared by all workers.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    /// Released before readers are woken. A channel's log may be locked while it is held, never the other way round.
    table: Mutex<Table>,
    deliveries: OnceLock<Deliveries>,
    pub(crate) counters: RedisCounters,
}

#[derive(Debug, Default)]
struct Table {
    channels: HashMap<PubSubName, SubscribedChannel>,
    /// The number of generations begun in all channels. A channel that is subscribed to again gets a new one, so a
    /// backfill for its former readers is recognized as stale.
    generations: u64,
    /// Buffered bytes in all channels.
    buffered_bytes: usize,
}

impl Subscriptions {
    pub(crate) fn new() -> Self {
        Self { table: Mutex::default(), deliveries: OnceLock::new(), counters: RedisCounters::default() }
    }

    /// Sets the logs to deliver to.
    ///
    /// # Panics
    ///
    /// If called twice: a broker serves one hub.
    pub(crate) fn start(&self, deliveries: Deliveries) {
        assert!(self.deliveries.set(deliveries).is_ok(), "a broker serves one hub");
    }

    pub(crate) fn deliveries(&self) -> Option<&Deliveries> {
        self.deliveries.get()
    }

    pub(crate) fn len(&self) -> usize {
        self.table.lock().channels.len()
    }

    /// Adds a channel for a worker. Returns whether the worker has to subscribe to it.
    pub(crate) fn add(&self, name: &PubSubName, channel: &Channel, worker: Option<WorkerId>) -> bool {
        let mut table = self.table.lock();
        let generation = table.next_generation();
        let Some(subscribed) = table.channels.get_mut(name) else {
            table
                .channels
                .insert(name.clone(), SubscribedChannel::new(name.clone(), channel.clone(), worker, generation));
            return true;
        };
        // A log that was dropped meanwhile is not open, and only a backfill opens it.
        let is_open = self.deliveries().is_none_or(|deliveries| deliveries.position(channel).is_some());
        let begins = subscribed.phase == Phase::Live && !is_open;
        if begins {
            subscribed.begin(worker, generation);
        }
        begins
    }

    /// Removes a channel, unless it has readers again. Returns the worker that was subscribed to it.
    pub(crate) fn remove(&self, name: &PubSubName, channel: &Channel) -> Option<WorkerId> {
        let mut table = self.table.lock();
        // Checked under the lock, so that a reader that arrives from now on is added after the removal.
        if !self.deliveries()?.suspend_if_unread(channel) {
            return None;
        }
        let mut removed = table.channels.remove(name)?;
        removed.take_buffered(&mut table.buffered_bytes);
        removed.worker
    }

    /// Returns whether a channel is in the table, so that it must not be unsubscribed from.
    pub(crate) fn contains(&self, name: &PubSubName) -> bool {
        self.table.lock().channels.contains_key(name)
    }

    /// Suspends all channels of a worker that lost its connection, and returns their names. New readers wait.
    pub(crate) fn disconnected(&self, worker: WorkerId) -> Vec<PubSubName> {
        let mut table = self.table.lock();
        let Table { channels, generations, .. } = &mut *table;
        let of_worker = channels.iter_mut().filter(|(_, subscribed)| subscribed.worker == Some(worker));
        of_worker
            .map(|(name, subscribed)| {
                *generations += 1;
                self.begin(subscribed, Some(worker), *generations);
                name.clone()
            })
            .collect()
    }

    /// Moves a channel to another worker; `None` if no node has its slot.
    pub(crate) fn assign(&self, name: &PubSubName, worker: Option<WorkerId>) {
        let mut table = self.table.lock();
        let generation = table.next_generation();
        if let Some(subscribed) = table.channels.get_mut(name) {
            self.begin(subscribed, worker, generation);
        }
    }

    /// Returns the name and the worker of every channel.
    pub(crate) fn names(&self) -> Vec<(PubSubName, Option<WorkerId>)> {
        self.table.lock().channels.iter().map(|(name, subscribed)| (name.clone(), subscribed.worker)).collect()
    }

    /// Starts a backfill once Redis has confirmed a worker's subscription: from here on nothing published is missed.
    pub(crate) fn confirmed(&self, name: &PubSubName, worker: WorkerId) -> Option<BackfillTask> {
        let mut table = self.table.lock();
        let subscribed = table.channels.get_mut(name)?;
        let is_expected = subscribed.phase == Phase::Unconfirmed && subscribed.worker == Some(worker);
        is_expected.then(|| subscribed.begin_backfill(BackfillCause::Subscribed))
    }

    /// Starts a backfill of a live channel, or has one that is under way read Redis again.
    pub(crate) fn request_backfill(&self, name: &PubSubName) -> Option<BackfillTask> {
        let mut table = self.table.lock();
        let subscribed = table.channels.get_mut(name)?;
        // Redis may have replied already, before this was requested.
        subscribed.read_again |= subscribed.phase == Phase::Backfilling;
        (subscribed.phase == Phase::Live).then(|| subscribed.begin_backfill(BackfillCause::Requested))
    }

    /// Starts a backfill if a channel has been live for longer than `age`.
    pub(crate) fn backfill_if_older(&self, name: &PubSubName, age: Duration) -> Option<BackfillTask> {
        let mut table = self.table.lock();
        let subscribed = table.channels.get_mut(name).filter(|subscribed| subscribed.is_live_for(age))?;
        Some(subscribed.begin_backfill(BackfillCause::Requested))
    }

    /// Sets the epoch in which the next message of a live channel is expected: this node has just deleted the channel.
    pub(crate) fn expect_epoch(&self, name: &PubSubName, epoch: Epoch) {
        if let Some(subscribed) = self.table.lock().channels.get_mut(name) {
            subscribed.epoch = Some(epoch);
        }
    }

    /// Returns a worker's live channels on which nothing has arrived since the last call.
    pub(crate) fn take_idle(&self, worker: WorkerId) -> Vec<(PubSubName, Channel)> {
        let mut idle = Vec::new();
        let mut table = self.table.lock();
        for (name, subscribed) in &mut table.channels {
            let is_live = subscribed.worker == Some(worker) && subscribed.phase == Phase::Live;
            if is_live && mem::replace(&mut subscribed.idle, true) {
                idle.push((name.clone(), subscribed.channel.clone()));
            }
        }
        idle
    }

    /// Returns whether a channel is live and nothing has arrived since [`take_idle`](Self::take_idle).
    pub(crate) fn is_idle(&self, name: &PubSubName) -> bool {
        let table = self.table.lock();
        table.channels.get(name).is_some_and(|subscribed| subscribed.phase == Phase::Live && subscribed.idle)
    }

    /// Forgets which epochs belong to other databases. Called every few seconds, because the server that was asked may
    /// have known less than another, as a former primary does after a failover.
    pub(crate) fn clear_foreign_epochs(&self, worker: WorkerId) {
        let mut table = self.table.lock();
        let of_worker = table.channels.values_mut().filter(|subscribed| subscribed.worker == Some(worker));
        of_worker.for_each(SubscribedChannel::clear_foreign_epochs);
    }

    /// Suspends the log together with the change of phase, under the lock, so that no other thread makes it live between.
    fn begin(&self, subscribed: &mut SubscribedChannel, worker: Option<WorkerId>, generation: u64) {
        subscribed.begin(worker, generation);
        if let Some(deliveries) = self.deliveries() {
            deliveries.suspend(&subscribed.channel);
        }
    }
}

impl Table {
    fn next_generation(&mut self) -> u64 {
        self.generations += 1;
        self.generations
    }

    /// Returns the task's channel, unless its subscription began again after the task.
    fn current(&mut self, task: &BackfillTask) -> Option<&mut SubscribedChannel> {
        self.channels.get_mut(&task.name).filter(|subscribed| subscribed.generation == task.generation)
    }
}
