//! Which servers this node has seen under its one address, so that one that comes back after another is noticed.
//!
//! A server is known by its `master_replid`. An address that leads to a promoted replica and back finds the old server as
//! it was, though events were acknowledged by the other in between.

use bytes::Bytes;
use parking_lot::Mutex;

/// Most servers that are remembered; the oldest goes first.
const SERVERS_MAX: usize = 8;

/// What a publish tells its script.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SeenServers {
    /// The one that was seen last, or nothing.
    pub(crate) last: Bytes,
    /// Those before it, joined by commas.
    pub(crate) before: Bytes,
    /// `NODE.N` once an earlier server has come back for the Nth time; or nothing.
    pub(crate) mark: Bytes,
    /// The mark if the server turns out to be one of those before.
    pub(crate) mark_if_back: Bytes,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Servers {
    /// Random, so that the marks of one process are not taken for those of another, or of itself before a restart.
    node: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    seen: SeenServers,
    before: Vec<Bytes>,
    returns: u32,
}

impl Default for Servers {
    fn default() -> Self {
        let servers = Self { node: fastrand::u32(..), state: Mutex::default() };
        servers.state.lock().seen.mark_if_back = servers.mark(1);
        servers
    }
}

impl Servers {
    pub(crate) fn seen(&self) -> SeenServers {
        self.state.lock().seen.clone()
    }

    /// Takes note of the server that has just answered.
    pub(crate) fn saw(&self, server: &str) {
        let mut state = self.state.lock();
        if server.is_empty() || state.seen.last == server {
            return;
        }
        let server = Bytes::copy_from_slice(server.as_bytes());
        if state.before.contains(&server) {
            state.returns += 1;
            state.seen.mark = self.mark(state.returns);
            state.seen.mark_if_back = self.mark(state.returns + 1);
        }
        let last = std::mem::replace(&mut state.seen.last, server.clone());
        state.before.retain(|before| *before != server);
        if !last.is_empty() {
            state.before.push(last);
        }
        let too_many = state.before.len().saturating_sub(SERVERS_MAX);
        state.before.drain(..too_many);
        let before: Vec<&[u8]> = state.before.iter().map(|server| &server[..]).collect();
        state.seen.before = before.join(&b","[..]).into();
    }

    fn mark(&self, returns: u32) -> Bytes {
        format!("{:08x}.{returns}", self.node).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_comes_back_is_marked_once() {
        let servers = Servers::default();
        let mark = || String::from_utf8(servers.seen().mark.to_vec()).unwrap();
        let nth = |returns: u32| format!("{:08x}.{returns}", servers.node);
        for server in ["first", "first", "", "second", "third"] {
            servers.saw(server);
            assert_eq!(mark(), "", "{server} is new");
            assert_eq!(servers.seen().mark_if_back, nth(1));
        }
        assert_eq!(servers.seen().before, "first,second");
        servers.saw("first");
        assert_eq!(mark(), nth(1));
        servers.saw("third");
        assert_eq!(mark(), nth(2));
        // What is new is a new epoch by itself.
        servers.saw("fourth");
        assert_eq!((mark(), servers.seen().mark_if_back), (nth(2), nth(3).into()));
        for number in 0..100 {
            servers.saw(&number.to_string());
        }
        assert_eq!(servers.state.lock().before.len(), SERVERS_MAX);
    }
}
