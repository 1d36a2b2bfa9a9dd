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
use redis::Value;
use tokio::time::Instant;

use crate::{
    address::Address,
    backoff::Backoff,
    connection::{Connector, ExpectedRole},
    error::CallError,
    reply::{self, ReplyOutcome},
};

/// See the module.
#[derive(Debug)]
pub(crate) struct ClusterTopology {
    seeds: Vec<Address>,
    known: Mutex<KnownSlots>,
    /// Held during a fetch. Other callers wait for its result.
    asking: tokio::sync::Mutex<()>,
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

/// The primary of each slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SlotMap {
    primaries: Vec<Address>,
    /// An index into `primaries` for each slot. Empty before the first fetch.
    owners: Vec<Option<u16>>,
}

impl ClusterTopology {
    pub(crate) fn new(seeds: Vec<Address>) -> Self {
        let known = KnownSlots { map: Arc::default(), generation: 0, fetched: None, retry_after: None, backoff: RETRY };
        Self {
            seeds,
            known: Mutex::new(known),
            asking: tokio::sync::Mutex::new(()),
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
        if map.primaries.is_empty() { self.refresh(connector).await } else { Ok(map) }
    }

    /// Fetches the map, unless that was done a moment ago.
    ///
    /// Runs in its own task, so that a caller that is no longer polled does not keep others waiting.
    pub(crate) async fn refresh(self: &Arc<Self>, connector: &Connector) -> Result<Arc<SlotMap>, CallError> {
        let (cluster, connector) = (Arc::clone(self), connector.clone());
        let asking = tokio::spawn(async move { cluster.fetch_once(&connector).await });
        asking.await.unwrap_or_else(|_| Err(CallError::unavailable("fetching the map of the Cluster panicked")))
    }

    async fn fetch_once(&self, connector: &Connector) -> Result<Arc<SlotMap>, CallError> {
        let seen = self.known.lock().generation;
        let _asking = self.asking.lock().await;
        {
            let known = self.known.lock();
            let fresh = known.fetched.is_some_and(|at| at.elapsed() < REFRESH_INTERVAL_MIN);
            if known.generation != seen || fresh {
                return Ok(Arc::clone(&known.map));
            }
            if let Some((until, failure)) = &known.retry_after
                && Instant::now() < *until
            {
                return Err(failure.clone());
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
            Err(failure) => {
                let pause = known.backoff.after_failure(fastrand::f64() / 2.0 + 0.5);
                known.retry_after = Some((Instant::now() + pause, failure.clone()));
                Err(failure)
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
            if let Err(failure) = cluster.refresh(&connector).await {
                tracing::debug!(reason = %failure, "redis: cannot fetch the map of the Cluster");
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
        rotated(&map.primaries, self.turn.fetch_add(1, Ordering::Relaxed))
    }

    async fn fetch(&self, connector: &Connector) -> Result<SlotMap, CallError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut asked = HashSet::new();
        let mut last = CallError::unavailable("no node of the Cluster is known");
        // The nodes of the URL come last: all those of the map may be gone.
        for node in rotated(&self.map().primaries, turn).into_iter().chain(rotated(&self.seeds, turn)) {
            if !asked.insert(node.clone()) {
                continue;
            }
            // A silent node must leave time to ask the others.
            match tokio::time::timeout(connector.config.connect_timeout / 4, fetch_from(&node, connector)).await {
                Ok(Ok(map)) => return Ok(map),
                Ok(Err(failure)) => last = failure,
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

impl SlotMap {
    /// Parses the reply to `CLUSTER SLOTS`: for each range its first and last slot, its primary, and its replicas.
    fn parse(reply: &Value, asked: &Address) -> Option<Self> {
        let Value::Array(ranges) = reply else { return None };
        let mut map = Self::default();
        for range in ranges {
            let Value::Array(range) = range else { return None };
            let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = range.as_slice() else {
                return None;
            };
            let [host, Value::Int(port), ..] = primary.as_slice() else { return None };
            let (first, last) = (u16::try_from(*first).ok()?, u16::try_from(*last).ok()?);
            // A node that does not know its own host sends nothing or `?`. It is the one that was asked.
            let host = reply::text(host).filter(|host| !host.is_empty() && host != "?");
            let address = address_beside(asked, host, u16::try_from(*port).ok()?);
            for slot in first..=last {
                map.assign(slot, &address);
            }
        }
        (!map.primaries.is_empty()).then_some(map)
    }

    pub(crate) fn primaries(&self) -> &[Address] {
        &self.primaries
    }

    /// Returns whether every slot has a primary.
    pub(crate) fn is_complete(&self) -> bool {
        !self.owners.is_empty() && self.owners.iter().all(Option::is_some)
    }

    pub(crate) fn primary_of(&self, slot: u16) -> Option<&Address> {
        self.primaries.get(usize::from(*self.owners.get(usize::from(slot))?.as_ref()?))
    }

    fn assign(&mut self, slot: u16, primary: &Address) {
        if slot >= SLOTS {
            return;
        }
        self.owners.resize(usize::from(SLOTS), None);
        let index = self.primaries.iter().position(|known| known == primary).unwrap_or_else(|| {
            self.primaries.push(primary.clone());
            self.primaries.len() - 1
        });
        // There are no more primaries than slots, so this does not fail.
        self.owners[usize::from(slot)] = u16::try_from(index).ok();
    }
}

/// Returns the slot of a key: the hash of the text between its first `{` and the next `}`, or if that is empty, of the
/// whole key.
pub(crate) fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    crc16::State::<crc16::XMODEM>::calculate(tag.unwrap_or(key)) % SLOTS
}

/// Parses the address in a redirection, `host:port`. Without a host, it is that of the node that sent it.
pub(crate) fn redirected(text: &str, sender: &Address) -> Option<Address> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = (!host.is_empty() && host != "?").then(|| host.to_owned());
    Some(address_beside(sender, host, port.parse().ok()?))
}

fn address_beside(asked: &Address, host: Option<String>, port: u16) -> Address {
    let host = host.unwrap_or_else(|| match asked {
        Address::Tcp { host, .. } => host.clone(),
        Address::Unix(_) => "localhost".to_owned(),
    });
    Address::Tcp { host, port }
}

async fn fetch_from(node: &Address, connector: &Connector) -> Result<SlotMap, CallError> {
    // A replica has the map too.
    let connection = connector.connect(node, ExpectedRole::ClusterNode).await?;
    let mut command = redis::cmd("CLUSTER");
    command.arg("SLOTS");
    let reply = connection.send(&command).await.map_err(|error| CallError::unavailable(format!("{node}: {error}")))?;
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

const SLOTS: u16 = 16_384;

/// The shortest pause between two fetches. An old map costs a redirection or a failed connect, and no more.
const REFRESH_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// The pauses after failed fetches: at least 100 ms at first, at most 1 s.
const RETRY: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(1));

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp { host: host.to_owned(), port }
    }

    /// The numbers are from Redis' documentation and another implementation of the checksum.
    #[test]
    fn slots_are_those_of_redis() {
        for (key, expected) in [("foo", 12182), ("{user1000}.following", 3443), ("a{}b", 13694)] {
            assert_eq!(slot(key.as_bytes()), expected, "{key}");
        }
        assert_eq!(slot(b"{user1000}.following"), slot(b"user1000"));
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
        assert_eq!(slot(b"foo{bar}{zap}"), slot(b"bar"));
        assert_ne!(slot(b"a{b"), slot(b"b"));
    }

    #[test]
    fn a_map_is_parsed_and_updated() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let range = |first, last, host: Value, port| {
            let primary = Value::Array(vec![host, Value::Int(port), text("id")]);
            let replica = Value::Array(vec![text("replica"), Value::Int(9), text("id")]);
            Value::Array(vec![Value::Int(first), Value::Int(last), primary, replica])
        };
        let reply = Value::Array(vec![
            range(0, 99, text("a"), 1),
            range(200, 300, text(""), 2),
            range(100, 100, Value::Nil, 2),
        ]);
        let mut map = SlotMap::parse(&reply, &tcp("asked", 7)).expect("a map");
        assert_eq!(map.primaries(), [tcp("a", 1), tcp("asked", 2)]);
        assert_eq!(map.primary_of(99), Some(&tcp("a", 1)));
        assert_eq!(map.primary_of(100), Some(&tcp("asked", 2)));
        assert_eq!(map.primary_of(101), None);
        assert_eq!(map.primary_of(16_383), None);
        map.assign(99, &tcp("b", 3));
        assert_eq!(map.primary_of(99), Some(&tcp("b", 3)));

        assert_eq!(SlotMap::parse(&Value::Array(vec![]), &tcp("asked", 7)), None);
        assert_eq!(SlotMap::parse(&Value::Array(vec![range(0, 70_000, text("a"), 1)]), &tcp("asked", 7)), None);
        assert_eq!(SlotMap::default().primary_of(0), None);
    }

    #[test]
    fn a_redirection_is_parsed() {
        let sender = tcp("h", 1);
        assert_eq!(redirected("127.0.0.1:6381", &sender), Some(tcp("127.0.0.1", 6381)));
        assert_eq!(redirected("::1:6381", &sender), Some(tcp("::1", 6381)));
        assert_eq!(redirected("[::1]:6381", &sender), Some(tcp("::1", 6381)));
        assert_eq!(redirected(":6381", &sender), Some(tcp("h", 6381)));
        assert_eq!(redirected("?:6381", &sender), Some(tcp("h", 6381)));
        assert_eq!(redirected("h:99999", &sender), None);
    }
}
