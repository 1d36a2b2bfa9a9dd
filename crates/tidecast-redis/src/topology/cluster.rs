//! The map of a Cluster: the primary of each slot.
//!
//! Fetched from any node that answers, and kept until something shows that it is old.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    address::Address, backoff::Backoff, connector::Connector, error::CallError, handshake::ExpectedRole,
    reply::ReplyOutcome, topology::slot_map::SlotMap,
};

/// The slot map of a Cluster, and how to fetch it.
#[derive(Debug)]
pub(crate) struct ClusterTopology {
    seeds: Vec<Address>,
    known: Mutex<KnownSlots>,
    /// Held during a fetch. Other callers wait for its result.
    fetching: tokio::sync::Mutex<()>,
    refreshing: AtomicBool,
    /// The first node of the next rotation, so that the load is spread over all nodes.
    turn: AtomicUsize,
}

/// The result of the last fetch.
#[derive(Debug)]
struct KnownSlots {
    map: Arc<SlotMap>,
    /// The number of maps fetched.
    generation: u64,
    fetched: Option<Instant>,
    /// No fetch begins before this time, because the last one failed with this error.
    retry_after: Option<(Instant, CallError)>,
    backoff: Backoff,
}

impl ClusterTopology {
    pub(crate) fn new(seeds: Vec<Address>) -> Self {
        let known = KnownSlots { map: Arc::default(), generation: 0, fetched: None, retry_after: None, backoff: RETRY };
        Self {
            seeds,
            known: Mutex::new(known),
            fetching: tokio::sync::Mutex::new(()),
            refreshing: AtomicBool::new(false),
            turn: AtomicUsize::new(fastrand::usize(..1 << 16)),
        }
    }

    /// Returns the current map, which may be empty.
    pub(crate) fn map(&self) -> Arc<SlotMap> {
        Arc::clone(&self.known.lock().map)
    }

    /// Returns the current map, or fetches it if it is empty.
    pub(crate) async fn map_or_fetch(self: &Arc<Self>, connector: &Connector) -> Result<Arc<SlotMap>, CallError> {
        let map = self.map();
        if map.primaries().is_empty() { self.refresh(connector).await } else { Ok(map) }
    }

    /// Fetches the map, unless that was done a moment ago.
    ///
    /// Runs in its own task, so that a caller that is no longer polled does not keep others waiting.
    pub(crate) async fn refresh(self: &Arc<Self>, connector: &Connector) -> Result<Arc<SlotMap>, CallError> {
        let (cluster, connector) = (Arc::clone(self), connector.clone());
        let fetching = tokio::spawn(async move { cluster.fetch_once(&connector).await });
        fetching.await.unwrap_or_else(|_| Err(CallError::unavailable("fetching the map of the Cluster panicked")))
    }

    async fn fetch_once(&self, connector: &Connector) -> Result<Arc<SlotMap>, CallError> {
        let seen = self.known.lock().generation;
        let _asking = self.fetching.lock().await;
        {
            let known = self.known.lock();
            let fresh = known.fetched.is_some_and(|at| at.elapsed() < REFRESH_INTERVAL_MIN);
            if known.generation != seen || fresh {
                return Ok(Arc::clone(&known.map));
            }
            if let Some((until, error)) = &known.retry_after
                && Instant::now() < *until
            {
                return Err(error.clone());
            }
        }
        let fetched = self.fetch(connector).await;
        let mut known = self.known.lock();
        match fetched {
            Ok(map) => {
                known.map = Arc::new(map);
                known.generation += 1;
                known.fetched = Some(Instant::now());
                known.retry_after = None;
                known.backoff.reset();
                Ok(Arc::clone(&known.map))
            }
            Err(error) => {
                let pause = known.backoff.after_failure(fastrand::f64() / 2.0 + 0.5);
                known.retry_after = Some((Instant::now() + pause, error.clone()));
                Err(error)
            }
        }
    }

    /// Fetches the map in the background, unless that is under way.
    pub(crate) fn refresh_in_background(self: &Arc<Self>, connector: &Connector) {
        if self.refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        let (cluster, connector) = (Arc::clone(self), connector.clone());
        tokio::spawn(async move {
            // If this panics, a later call must be able to fetch again.
            let _ended = RefreshGuard(&cluster.refreshing);
            // A short wait merges the refreshes of many redirections.
            tokio::time::sleep(REFRESH_INTERVAL_MIN).await;
            if let Err(error) = cluster.refresh(&connector).await {
                tracing::debug!(reason = %error, "redis: cannot fetch the map of the Cluster");
            }
        });
    }

    /// Records the primary to which a slot has moved.
    pub(crate) fn moved(&self, slot: u16, primary: &Address) {
        let mut known = self.known.lock();
        Arc::make_mut(&mut known.map).assign(slot, primary);
    }

    /// Returns all primaries, with another one first at each call.
    pub(crate) fn rotated_primaries(&self, map: &SlotMap) -> Vec<Address> {
        rotated(map.primaries(), self.turn.fetch_add(1, Ordering::Relaxed))
    }

    async fn fetch(&self, connector: &Connector) -> Result<SlotMap, CallError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut asked = HashSet::new();
        let mut last = CallError::unavailable("no node of the Cluster is known");
        // The nodes of the URL come last: all those of the map may be gone.
        for node in rotated(self.map().primaries(), turn).into_iter().chain(rotated(&self.seeds, turn)) {
            if !asked.insert(node.clone()) {
                continue;
            }
            // A silent node must leave time to ask the others.
            match tokio::time::timeout(connector.config.connect_timeout / 4, fetch_from(&node, connector)).await {
                Ok(Ok(map)) => return Ok(map),
                Ok(Err(error)) => last = error,
                Err(_) => last = CallError::unavailable(format!("{node} does not send its slots")),
            }
        }
        Err(last)
    }
}

/// Marks the refresh in the background as ended when it is dropped.
struct RefreshGuard<'a>(&'a AtomicBool);

impl Drop for RefreshGuard<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

async fn fetch_from(node: &Address, connector: &Connector) -> Result<SlotMap, CallError> {
    // A replica has the map too.
    let connection = connector.connect(node, ExpectedRole::ClusterNode).await?;
    let mut command = redis::cmd("CLUSTER");
    command.arg("SLOTS");
    let reply = connection.send(&command).await.map_err(|error| CallError::at(node, error))?;
    match ReplyOutcome::from(reply) {
        ReplyOutcome::Value(reply) => SlotMap::parse(&reply, node)
            .ok_or_else(|| CallError::unavailable(format!("{node} has no slots with a primary"))),
        ReplyOutcome::Rejected(message) => Err(CallError::Rejected(message)),
        _ => Err(CallError::unavailable(format!("{node} does not send its slots"))),
    }
}

fn rotated(addresses: &[Address], turn: usize) -> Vec<Address> {
    let middle = turn.checked_rem(addresses.len()).unwrap_or(0);
    [&addresses[middle..], &addresses[..middle]].concat()
}

/// The shortest pause between two fetches. An old map costs a redirection or a failed connect, and no more.
const REFRESH_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// The pauses after failed fetches: at least 100 ms at first, at most 1 s.
const RETRY: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(1));
