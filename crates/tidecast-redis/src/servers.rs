//! Which servers this node has seen under its one address, so that one that comes back after another is noticed.
//!
//! A server is known by its `master_replid`. An address that leads to a promoted replica and back finds the old server as
//! it was, though events were acknowledged by the other in between.

use bytes::Bytes;
use parking_lot::Mutex;

/// Most servers that are remembered; the oldest goes first.
const SERVERS_MAX: usize = 8;

/// How much of a server's name stands in a mark.
const MARK_BYTES: usize = 12;

/// What a publish tells its script.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SeenServers {
    /// The one that was seen last, or nothing.
    pub(crate) last: Bytes,
    /// Those before it, joined by commas.
    pub(crate) before: Bytes,
    /// Which server was there before an earlier one came back, and for which time; or nothing.
    pub(crate) mark: Bytes,
    /// The same if the server turns out to be one of those before.
    pub(crate) mark_if_back: Bytes,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Servers(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    seen: SeenServers,
    before: Vec<Bytes>,
    returns: u32,
}

impl Servers {
    pub(crate) fn seen(&self) -> SeenServers {
        self.0.lock().seen.clone()
    }

    /// Takes note of the server that has just answered.
    pub(crate) fn saw(&self, server: &str) {
        let mut state = self.0.lock();
        if server.is_empty() || state.seen.last == server {
            return;
        }
        let server = Bytes::copy_from_slice(server.as_bytes());
        if state.before.contains(&server) {
            state.returns += 1;
            state.seen.mark = state.seen.mark_if_back.clone();
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
        let name = String::from_utf8_lossy(&server[..server.len().min(MARK_BYTES)]);
        state.seen.mark_if_back = format!("{name}.{}", state.returns + 1).into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_comes_back_is_marked_by_the_one_before_it() {
        let servers = Servers::default();
        let mark = || String::from_utf8(servers.seen().mark.to_vec()).unwrap();
        for server in ["first", "first", "", "second", "third"] {
            servers.saw(server);
            assert_eq!(mark(), "", "{server} is new");
        }
        assert_eq!(servers.seen().before, "first,second");
        servers.saw("first");
        assert_eq!(mark(), "third.1");
        servers.saw("third");
        assert_eq!(mark(), "first.2");
        // What is new is a new epoch by itself.
        servers.saw("fourth");
        assert_eq!(mark(), "first.2");
        for number in 0..100 {
            servers.saw(&number.to_string());
        }
        assert_eq!(servers.0.lock().before.len(), SERVERS_MAX);
    }
}
