//! The replication ids that this node has seen at its one address, to detect a server that returns after another.
//!
//! An address may lead to a promoted replica and back. The old server's `master_replid` is then unchanged, although the
//! other server acknowledged events in between.

use bytes::Bytes;
use parking_lot::Mutex;

/// The most earlier ids; the oldest is dropped first.
const IDS_MAX: usize = 8;

/// The arguments of `publish.lua` about the servers seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SeenReplicationIds {
    /// The id seen last; empty if none was.
    pub(crate) last: Bytes,
    /// The ids before it, joined by commas.
    pub(crate) earlier: Bytes,
    /// `NODE.N` after an earlier server has returned for the Nth time; empty before.
    pub(crate) return_mark: Bytes,
    /// The mark to use if the server turns out to be one of the earlier ones.
    pub(crate) mark_if_returned: Bytes,
}

/// The replication ids seen by this process.
#[derive(Debug)]
pub(crate) struct ReplicationIds {
    /// Random, so that marks of different processes, and of this one before a restart, differ.
    node: u32,
    state: Mutex<SeenIds>,
}

#[derive(Debug, Default)]
struct SeenIds {
    snapshot: SeenReplicationIds,
    earlier: Vec<Bytes>,
    returned: u32,
}

impl Default for ReplicationIds {
    fn default() -> Self {
        let ids = Self { node: fastrand::u32(..), state: Mutex::default() };
        ids.state.lock().snapshot.mark_if_returned = ids.return_mark(1);
        ids
    }
}

impl ReplicationIds {
    pub(crate) fn snapshot(&self) -> SeenReplicationIds {
        self.state.lock().snapshot.clone()
    }

    /// Records the id of the server that has just replied.
    pub(crate) fn record(&self, server: &str) {
        let mut state = self.state.lock();
        if server.is_empty() || state.snapshot.last == server {
            return;
        }
        let server = Bytes::copy_from_slice(server.as_bytes());
        if state.earlier.contains(&server) {
            state.returned += 1;
            state.snapshot.return_mark = self.return_mark(state.returned);
            state.snapshot.mark_if_returned = self.return_mark(state.returned + 1);
        }
        let last = std::mem::replace(&mut state.snapshot.last, server.clone());
        state.earlier.retain(|earlier| *earlier != server);
        if !last.is_empty() {
            state.earlier.push(last);
        }
        let too_many = state.earlier.len().saturating_sub(IDS_MAX);
        state.earlier.drain(..too_many);
        let earlier: Vec<&[u8]> = state.earlier.iter().map(|server| &server[..]).collect();
        state.snapshot.earlier = earlier.join(&b","[..]).into();
    }

    fn return_mark(&self, returned: u32) -> Bytes {
        format!("{:08x}.{returned}", self.node).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_returns_is_marked_once() {
        let ids = ReplicationIds::default();
        let return_mark = || String::from_utf8(ids.snapshot().return_mark.to_vec()).unwrap();
        let nth = |returned: u32| format!("{:08x}.{returned}", ids.node);
        for server in ["first", "first", "", "second", "third"] {
            ids.record(server);
            assert_eq!(return_mark(), "", "{server} is new");
            assert_eq!(ids.snapshot().mark_if_returned, nth(1));
        }
        assert_eq!(ids.snapshot().earlier, "first,second");
        ids.record("first");
        assert_eq!(return_mark(), nth(1));
        ids.record("third");
        assert_eq!(return_mark(), nth(2));
        // A new server begins a new epoch by itself.
        ids.record("fourth");
        assert_eq!((return_mark(), ids.snapshot().mark_if_returned), (nth(2), nth(3).into()));
        for number in 0..100 {
            ids.record(&number.to_string());
        }
        assert_eq!(ids.state.lock().earlier.len(), IDS_MAX);
    }
}
