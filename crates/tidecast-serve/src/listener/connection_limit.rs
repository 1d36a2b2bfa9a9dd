//! The limits of connections, of all clients and of one, and which connection is closed to make room.
//!
//! While all slots are taken, the connection that has been idle for longest is closed for the next one, so that a client
//! that opens connections and stays silent keeps nobody out. A connection is idle unless a request of it is being handled or
//! it carries a stream; streams should have a lower limit of their own. A connection without a slot waits for one.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{sync::Semaphore, time::timeout};

use crate::{
    counters::{ConnectionCounters, count},
    limits::IDLE_GRACE,
    listener::activity::{Activity, micros},
    log_limit::LogLimit,
    options::ServeOptions,
    origin::client_network,
};

/// How often idle connections are looked for while one waits for a slot.
const EVICT_EVERY: Duration = Duration::from_millis(50);

/// The fraction of the idle connections that is closed at a time, if they are very many: the search costs each new
/// connection less.
const EVICTED_SHARE: usize = 256;

/// The slots for connections.
#[derive(Debug)]
pub(crate) struct ConnectionLimit {
    connections_max: usize,
    free: Semaphore,
    /// 0 is no limit.
    per_client_max: usize,
    /// Empty if there is no limit per client.
    by_client: Mutex<HashMap<IpAddr, usize>>,
    /// The connections that may be idle: all but those of reactors.
    idle: Mutex<HashMap<u64, Arc<Activity>>>,
    next_number: AtomicU64,
    epoch: Instant,
    /// [`IDLE_GRACE`].
    grace: Duration,
    counters: Arc<ConnectionCounters>,
    full_logged: LogLimit,
}

/// The slot of a connection, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    limit: Arc<ConnectionLimit>,
    /// Boxed, because most servers have no limit per client, and many connections.
    client: Option<Box<IpAddr>>,
}

/// The entry of a connection among those that may be idle, removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Evictable {
    limit: Arc<ConnectionLimit>,
    number: u64,
    activity: Arc<Activity>,
}

impl ConnectionLimit {
    pub(crate) fn new(options: &ServeOptions, counters: Arc<ConnectionCounters>) -> Arc<Self> {
        Arc::new(Self {
            connections_max: options.connections_max,
            free: Semaphore::new(options.connections_max.min(Semaphore::MAX_PERMITS)),
            per_client_max: options.connections_per_client_max,
            by_client: Mutex::default(),
            idle: Mutex::default(),
            next_number: AtomicU64::new(0),
            epoch: Instant::now(),
            grace: IDLE_GRACE,
            counters,
            full_logged: LogLimit::default(),
        })
    }

    /// Returns whether a slot is free.
    pub(crate) fn has_room(&self) -> bool {
        self.free.available_permits() > 0
    }

    /// Waits for a slot. Meanwhile, closes the connection that has been idle for longest, once it has been so for
    /// [`IDLE_GRACE`]. Returns `None` if the client has too many connections.
    pub(crate) async fn acquire(self: &Arc<Self>, client: IpAddr) -> Option<Permit> {
        // Before another connection is closed for it.
        if self.is_full_for(client) {
            count(&self.counters.closed_client_full);
            return None;
        }
        if !self.has_room()
            && let Some(count) = self.full_logged.due(Instant::now())
        {
            let connections_max = self.connections_max;
            tracing::warn!(connections_max, count, "connections wait for others to end, as there are connections_max");
        }
        loop {
            let permit = match self.free.try_acquire() {
                Ok(permit) => permit,
                Err(_) => {
                    self.evict_idle();
                    match timeout(EVICT_EVERY, self.free.acquire()).await {
                        Ok(Ok(permit)) => permit,
                        _ => continue,
                    }
                }
            };
            permit.forget();
            count(&self.counters.accepted);
            return Some(Permit { limit: self.clone(), client: self.add_client(client) });
        }
    }

    /// Takes a slot that is free.
    #[cfg(test)]
    pub(crate) fn try_acquire(self: &Arc<Self>) -> Permit {
        self.free.try_acquire().unwrap().forget();
        Permit { limit: self.clone(), client: None }
    }

    fn is_full_for(&self, client: IpAddr) -> bool {
        let connections = || self.by_client.lock().get(&client_network(client)).copied().unwrap_or_default();
        self.per_client_max > 0 && connections() >= self.per_client_max
    }

    fn add_client(&self, client: IpAddr) -> Option<Box<IpAddr>> {
        (self.per_client_max > 0).then(|| {
            let client = client_network(client);
            *self.by_client.lock().entry(client).or_default() += 1;
            Box::new(client)
        })
    }

    /// Closes the connections that have been idle for longest: one, or a share of very many.
    fn evict_idle(&self) {
        let mut idle: Vec<_> = {
            let idle = self.idle.lock();
            // The slots of these are about to be free.
            if idle.values().any(|activity| activity.is_evicted()) {
                return;
            }
            let until = micros(self.epoch.elapsed().saturating_sub(self.grace));
            let long_idle = |activity: &Arc<Activity>| {
                let since = activity.idle_since().filter(|since| *since <= until)?;
                Some((since, activity.clone()))
            };
            idle.values().filter_map(long_idle).collect()
        };
        let count = (idle.len() / EVICTED_SHARE).max(1).min(idle.len());
        if count == 0 {
            return;
        }
        if count < idle.len() {
            idle.select_nth_unstable_by_key(count - 1, |(since, _)| *since);
        }
        for (since, activity) in &idle[..count] {
            activity.evict(*since);
        }
    }
}

impl Permit {
    /// Adds the connection to those that may be closed while they are idle. It is idle until its first request.
    pub(crate) fn evictable(&self) -> Evictable {
        let limit = &self.limit;
        let activity = Arc::new(Activity::new(limit.epoch));
        let number = limit.next_number.fetch_add(1, Ordering::Relaxed);
        limit.idle.lock().insert(number, activity.clone());
        Evictable { limit: limit.clone(), number, activity }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let limit = &self.limit;
        if let Some(client) = &self.client {
            let mut by_client = limit.by_client.lock();
            if let Some(connections) = by_client.get_mut(&**client) {
                *connections -= 1;
                if *connections == 0 {
                    by_client.remove(&**client);
                }
            }
        }
        count(&limit.counters.ended);
        limit.free.add_permits(1);
    }
}

impl Evictable {
    pub(crate) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for Evictable {
    fn drop(&mut self) {
        if self.activity.is_evicted() {
            count(&self.limit.counters.closed_idle);
        }
        let mut idle = self.limit.idle.lock();
        idle.remove(&self.number);
        // Gives back the memory of a burst of connections.
        if idle.capacity() > 1024 && idle.len() < idle.capacity() / 4 {
            idle.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    fn limit(connections_max: usize, connections_per_client_max: usize, grace: Duration) -> Arc<ConnectionLimit> {
        let options = ServeOptions { connections_max, connections_per_client_max, ..ServeOptions::default() };
        let mut limit = Arc::into_inner(ConnectionLimit::new(&options, Arc::default())).unwrap();
        limit.grace = grace;
        Arc::new(limit)
    }

    /// In a burst near the limit, connections that had only just come were closed as idle, with their requests unread.
    #[tokio::test]
    async fn a_connection_that_has_just_come_is_not_closed_as_idle() {
        let limit = limit(1, 0, Duration::from_secs(3_600));
        let permit = limit.try_acquire();
        let evictable = permit.evictable();
        limit.evict_idle();
        assert!(!evictable.activity.is_evicted());
    }

    /// A request that arrived before the connection noticed that it was to be closed was not answered.
    #[test]
    fn a_request_keeps_a_connection_that_was_to_be_closed() {
        let limit = limit(1, 0, Duration::ZERO);
        let permit = limit.try_acquire();
        let evictable = permit.evictable();
        limit.evict_idle();
        assert!(evictable.activity.is_evicted());
        evictable.activity.set_busy();
        assert!(!evictable.activity.is_evicted());
    }

    #[tokio::test]
    async fn the_longest_idle_connection_makes_room_and_no_busy_one() {
        let limit = limit(3, 0, Duration::ZERO);
        let client = "192.0.2.1".parse().unwrap();
        let mut open = Vec::new();
        for _ in 0..3 {
            let permit = limit.acquire(client).await.unwrap();
            let evictable = permit.evictable();
            open.push((permit, evictable));
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(!limit.has_room());
        let mut context = Context::from_waker(Waker::noop());
        let mut evicted = |open: &[(Permit, Evictable)]| -> Vec<bool> {
            open.iter().map(|(_, evictable)| evictable.activity.poll_evicted(&mut context)).collect()
        };
        open[0].1.activity.set_busy();
        limit.evict_idle();
        assert_eq!(evicted(&open), [false, true, false]);
        open[0].1.activity.set_idle();
        limit.evict_idle();
        assert_eq!(evicted(&open), [false, true, false], "one at a time");
        // A slot that is given back is taken at once.
        open.remove(1);
        open.push((limit.acquire(client).await.unwrap(), open[0].0.evictable()));
        limit.evict_idle();
        assert_eq!(evicted(&open), [false, true, false], "it has been idle for longer than the first");
    }

    #[tokio::test]
    async fn one_client_gets_no_more_than_its_share() {
        let limit = limit(10, 2, Duration::ZERO);
        let client = |address: &str| address.parse::<IpAddr>().unwrap();
        let first = limit.acquire(client("2001:db8::1")).await.unwrap();
        let _second = limit.acquire(client("2001:db8::2")).await.unwrap();
        assert!(limit.acquire(client("2001:db8::3")).await.is_none());
        let _other = limit.acquire(client("2001:db8:0:1::1")).await.unwrap();
        drop(first);
        assert!(limit.acquire(client("2001:db8::3")).await.is_some());
        assert_eq!(limit.by_client.lock().len(), 2);
    }
}
