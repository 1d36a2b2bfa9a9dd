//! The connections that there are: how many there may be, of all clients and of one, and which of them is closed to make
//! room for another.
//!
//! Where all places are taken, the connection that has been idle for longest is closed, so that a client which opens
//! connections and says nothing keeps nobody out. A connection is idle unless a request of it is being answered, or it is a
//! stream; streams have a bound of their own, below that of connections. A connection for which there is no place waits
//! for one.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Context,
    time::{Duration, Instant},
};

use atomic_waker::AtomicWaker;
use parking_lot::Mutex;
use tokio::{sync::Semaphore, time::timeout};

use crate::{
    config::Config,
    limits::IDLE_GRACE,
    observe::{
        log_limit::LogLimit,
        metrics::{Closed, Counters},
    },
};

/// How long to wait for a place before another look at which connections are idle.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Which part of the connections is closed at a time where they are very many, so that looking for them costs each new
/// connection little.
const CLOSED_SHARE: usize = 256;

/// See the module.
#[derive(Debug)]
pub(crate) struct Places {
    connections_max: usize,
    free: Semaphore,
    per_client_max: usize,
    /// Kept only if there is a limit.
    by_client: Mutex<HashMap<IpAddr, usize>>,
    /// The connections that may be idle: all but those that a reactor has.
    open: Mutex<HashMap<u64, Arc<Control>>>,
    opened: AtomicU64,
    started: Instant,
    /// [`IDLE_GRACE`].
    grace: Duration,
    counters: Arc<Counters>,
    full_logged: LogLimit,
}

/// A connection's place, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    /// Boxed, as most hubs have no limit for a client, and there are many connections.
    client: Option<Box<IpAddr>>,
}

/// A connection among those that may be idle.
#[derive(Debug)]
pub(crate) struct Open {
    places: Arc<Places>,
    number: u64,
    control: Arc<Control>,
}

/// Whether a connection is idle, and whether it is to be closed.
#[derive(Debug)]
pub(crate) struct Control {
    /// [`BUSY`], [`CLOSED`], or since when it is idle.
    state: AtomicU64,
    waker: AtomicWaker,
    started: Instant,
}

const BUSY: u64 = 0;
const CLOSED: u64 = u64::MAX;

/// Returns what counts as one client: an IPv4 address, or the network of 64 bits that an IPv6 address is of, as a client
/// has all addresses of it.
pub(crate) fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

impl Places {
    pub(crate) fn new(config: &Config, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self {
            connections_max: config.connections_max,
            free: Semaphore::new(config.connections_max.min(Semaphore::MAX_PERMITS)),
            per_client_max: config.connections_per_client_max,
            by_client: Mutex::default(),
            open: Mutex::default(),
            opened: AtomicU64::new(0),
            started: Instant::now(),
            grace: IDLE_GRACE,
            counters,
            full_logged: LogLimit::default(),
        })
    }

    /// Returns whether a place is free.
    pub(crate) fn any_free(&self) -> bool {
        self.free.available_permits() > 0
    }

    /// Takes a place, once one is free: the connection that has been idle for longest is closed for it, once it has been so
    /// for [`IDLE_GRACE`]. Returns `None` if the client has as many connections as it may.
    pub(crate) async fn take(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        // Before others make room for it.
        if self.is_full(peer) {
            self.counters.count_closed(Closed::ClientFull);
            return None;
        }
        if !self.any_free()
            && let Some(count) = self.full_logged.due(Instant::now())
        {
            let connections_max = self.connections_max;
            tracing::warn!(connections_max, count, "connections wait for others to end, as there are connections_max");
        }
        loop {
            let permit = match self.free.try_acquire() {
                Ok(permit) => permit,
                Err(_) => {
                    self.close_idle();
                    match timeout(LOOK_AGAIN_AFTER, self.free.acquire()).await {
                        Ok(Ok(permit)) => permit,
                        _ => continue,
                    }
                }
            };
            permit.forget();
            self.counters.count_accepted();
            return Some(Place { places: self.clone(), client: self.count(peer) });
        }
    }

    /// Takes a place that is free.
    #[cfg(test)]
    pub(crate) fn take_now(self: &Arc<Self>) -> Place {
        self.free.try_acquire().unwrap().forget();
        Place { places: self.clone(), client: None }
    }

    fn is_full(&self, peer: IpAddr) -> bool {
        let connections = || self.by_client.lock().get(&client_of(peer)).copied().unwrap_or_default();
        self.per_client_max > 0 && connections() >= self.per_client_max
    }

    fn count(&self, peer: IpAddr) -> Option<Box<IpAddr>> {
        (self.per_client_max > 0).then(|| {
            let client = client_of(peer);
            *self.by_client.lock().entry(client).or_default() += 1;
            Box::new(client)
        })
    }

    /// Closes what has been idle for longest: one connection, or some where they are very many.
    fn close_idle(&self) {
        let mut idle: Vec<_> = {
            let open = self.open.lock();
            // Their places will be free in a moment.
            if open.values().any(|control| control.is_closed()) {
                return;
            }
            let until = Control::micros(self.started.elapsed().saturating_sub(self.grace));
            let is_due = |since: &u64| *since <= until;
            let idle = |control: &Arc<Control>| Some((control.idle_since().filter(is_due)?, control.clone()));
            open.values().filter_map(idle).collect()
        };
        let count = (idle.len() / CLOSED_SHARE).max(1).min(idle.len());
        if count == 0 {
            return;
        }
        if count < idle.len() {
            idle.select_nth_unstable_by_key(count - 1, |(since, _)| *since);
        }
        for (since, control) in &idle[..count] {
            control.close(*since);
        }
    }
}

impl Place {
    /// Adds its connection to those that may be idle, which it is until its first request.
    pub(crate) fn open(&self) -> Open {
        let places = &self.places;
        let control = Arc::new(Control::new(places.started));
        let number = places.opened.fetch_add(1, Ordering::Relaxed);
        places.open.lock().insert(number, control.clone());
        Open { places: places.clone(), number, control }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let places = &self.places;
        if let Some(client) = &self.client {
            let mut by_client = places.by_client.lock();
            if let Some(connections) = by_client.get_mut(&**client) {
                *connections -= 1;
                if *connections == 0 {
                    by_client.remove(&**client);
                }
            }
        }
        places.counters.count_ended();
        places.free.add_permits(1);
    }
}

impl Open {
    pub(crate) fn control(&self) -> &Arc<Control> {
        &self.control
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.control.is_closed() {
            self.places.counters.count_closed(Closed::Idle);
        }
        let mut open = self.places.open.lock();
        open.remove(&self.number);
        // A burst of connections leaves no large table behind.
        if open.capacity() > 1024 && open.len() < open.capacity() / 4 {
            open.shrink_to_fit();
        }
    }
}

/// Idle since now.
impl Default for Control {
    fn default() -> Self {
        Self::new(Instant::now())
    }
}

impl Control {
    fn new(started: Instant) -> Self {
        let control = Self { state: AtomicU64::new(BUSY), waker: AtomicWaker::new(), started };
        control.rest();
        control
    }

    /// Says that a request is there to be answered. A connection that was to be closed stays open for it: another one is
    /// closed instead.
    pub(crate) fn begin(&self) {
        self.state.store(BUSY, Ordering::Release);
    }

    /// Says that nothing is being answered any more, though the answer may still be on its way.
    pub(crate) fn rest(&self) {
        // Never one of the two that say something else.
        let now = Self::micros(self.started.elapsed());
        let rest = |state| (state == BUSY).then_some(now);
        let _ = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, rest);
    }

    fn micros(time: Duration) -> u64 {
        u64::try_from(time.as_micros()).unwrap_or(CLOSED).clamp(BUSY + 1, CLOSED - 1)
    }

    /// Returns whether the connection is to be closed, and has the task woken when it is.
    pub(crate) fn poll_closed(&self, context: &mut Context<'_>) -> bool {
        self.waker.register(context.waker());
        self.is_closed()
    }

    fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) == CLOSED
    }

    fn idle_since(&self) -> Option<u64> {
        Some(self.state.load(Ordering::Acquire)).filter(|state| *state != BUSY && *state != CLOSED)
    }

    /// Has the connection close, if it has been idle since then.
    fn close(&self, since: u64) {
        if self.state.compare_exchange(since, CLOSED, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::config::Settings;

    fn places(connections_max: usize, connections_per_client_max: usize) -> Arc<Places> {
        let config = Config::from_settings(&Settings::default()).unwrap();
        let config = Config { connections_max, connections_per_client_max, ..config };
        let mut places = Arc::into_inner(Places::new(&config, Arc::default())).unwrap();
        places.grace = Duration::ZERO;
        Arc::new(places)
    }

    /// In a burst near the limit, the connections that had only just come were closed as idle, with their requests unread.
    #[tokio::test]
    async fn a_connection_that_has_just_come_is_not_closed_as_idle() {
        let mut places = Arc::into_inner(places(1, 0)).unwrap();
        places.grace = Duration::from_secs(3_600);
        let places = Arc::new(places);
        let place = places.take_now();
        let open = place.open();
        places.close_idle();
        assert!(!open.control.is_closed());
    }

    /// A request that came before the connection was seen to be closed was not answered.
    #[test]
    fn a_request_keeps_a_connection_that_was_to_be_closed() {
        let places = places(1, 0);
        let place = places.take_now();
        let open = place.open();
        places.close_idle();
        assert!(open.control.is_closed());
        open.control.begin();
        assert!(!open.control.is_closed());
    }

    #[test]
    fn a_client_is_an_address_or_a_network_of_64_bits() {
        for (address, client) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2:ffff::", "2001:db8:1:2::"),
        ] {
            assert_eq!(client_of(address.parse().unwrap()), client.parse::<IpAddr>().unwrap());
        }
    }

    #[tokio::test]
    async fn the_oldest_idle_connection_makes_room_and_no_busy_one() {
        let places = places(3, 0);
        let peer = "192.0.2.1".parse().unwrap();
        let mut taken = Vec::new();
        for _ in 0..3 {
            let place = places.take(peer).await.unwrap();
            let open = place.open();
            taken.push((place, open));
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(!places.any_free());
        let mut context = Context::from_waker(Waker::noop());
        let mut closed = |taken: &[(Place, Open)]| -> Vec<bool> {
            taken.iter().map(|(_, open)| open.control.poll_closed(&mut context)).collect()
        };
        taken[0].1.control.begin();
        places.close_idle();
        assert_eq!(closed(&taken), [false, true, false]);
        taken[0].1.control.rest();
        places.close_idle();
        assert_eq!(closed(&taken), [false, true, false], "one at a time");
        // A place that is given back is taken at once.
        taken.remove(1);
        taken.push((places.take(peer).await.unwrap(), taken[0].0.open()));
        places.close_idle();
        assert_eq!(closed(&taken), [false, true, false], "it has been at rest for longer than the first");
    }

    #[tokio::test]
    async fn one_client_gets_no_more_than_its_share() {
        let places = places(10, 2);
        let client = |address: &str| address.parse::<IpAddr>().unwrap();
        let first = places.take(client("2001:db8::1")).await.unwrap();
        let _second = places.take(client("2001:db8::2")).await.unwrap();
        assert!(places.take(client("2001:db8::3")).await.is_none());
        let _other = places.take(client("2001:db8:0:1::1")).await.unwrap();
        drop(first);
        assert!(places.take(client("2001:db8::3")).await.is_some());
        assert_eq!(places.by_client.lock().len(), 2);
    }
}
