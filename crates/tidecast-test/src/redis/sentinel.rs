//! A primary, its replica, and three Sentinels that promote the replica if the primary fails.
//!
//! A primary that is silent for a second is down, which is as short as a busy machine allows. The functions wait for their
//! effect by asking the Sentinels and the servers; none sleeps for a fixed time.

use rustix::process::Signal;

use super::RedisServer;
use crate::{free_port, process::send_signal, wait_until};

/// The name under which the Sentinels watch the primary.
pub const SERVICE: &str = "tidecast";

/// A primary and its replica, watched by three Sentinels.
#[derive(Debug)]
pub struct SentinelSet {
    servers: [RedisServer; 2],
    /// The index of the primary.
    primary: usize,
    sentinels: Vec<RedisServer>,
}

impl SentinelSet {
    /// Starts the servers and the Sentinels, with more options for the two servers, and waits until each Sentinel knows
    /// the replica and the other Sentinels.
    pub fn start(options: &[&str]) -> Self {
        // By default a primary waits 5 s for further replicas before it serves the first.
        let options = [&["--repl-diskless-sync-delay", "0"], options].concat();
        let servers = [RedisServer::start(&options), RedisServer::start(&options)];
        let port = servers[0].port.to_string();
        expect(servers[1].command(&["REPLICAOF", "127.0.0.1", &port]).as_deref(), "+OK");
        assert!(wait_until(|| is_in_sync(&servers[1])), "the replica does not get in sync:\n{}", servers[1].log());

        let sentinels: Vec<_> = (0..3).map(|_| start_sentinel(&port)).collect();
        let set = Self { servers, primary: 0, sentinels };
        for sentinel in &set.sentinels {
            let knows =
                |field: &str, count: &str| replies_field(sentinel, &["SENTINEL", "MASTER", SERVICE], field, count);
            let knows_all = || knows("num-other-sentinels", "2") && knows("num-slaves", "1");
            assert!(wait_until(knows_all), "a Sentinel does not know the others:\n{}", sentinel.log());
        }
        set
    }

    /// Returns the URL with which a client finds the primary.
    pub fn url(&self) -> String {
        let addresses: Vec<_> = self.sentinels.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
        format!("redis+sentinel://{}/{SERVICE}/0", addresses.join(","))
    }

    /// Returns the primary.
    pub fn primary(&self) -> &RedisServer {
        &self.servers[self.primary]
    }

    /// Returns the replica: the other server, whether it runs or not.
    pub fn replica(&self) -> &RedisServer {
        &self.servers[1 - self.primary]
    }

    /// Cuts the replica off: it misses later writes, which the primary still acknowledges.
    ///
    /// A test must kill the primary within ten seconds, as no Sentinel promotes a replica that was cut off for longer.
    pub fn cut_replication(&self) {
        // Ends the connection and forbids another.
        expect(self.primary().command(&["ACL", "SETUSER", "default", "-psync", "-sync"]).as_deref(), "+OK");
        expect(self.primary().command(&["CLIENT", "KILL", "TYPE", "replica"]).as_deref(), ":1");
        let is_cut = || has_line(self.replica(), "master_link_status:down");
        assert!(wait_until(is_cut), "the replica is not cut off:\n{}", self.replica().log());
    }

    /// Kills the primary.
    pub fn kill_primary(&mut self) {
        self.servers[self.primary].kill();
    }

    /// Waits until the replica is the primary and every Sentinel reports it. The old primary must be dead or frozen.
    pub fn wait_for_promotion(&mut self) {
        let replica = self.replica();
        let port = format!("\r\n{}\r\n", replica.port);
        let ask = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE];
        let is_known = |sentinel: &RedisServer| sentinel.command(&ask).is_some_and(|reply| reply.contains(&port));
        let is_promoted = || has_line(replica, "role:master") && self.sentinels.iter().all(is_known);
        assert!(wait_until(is_promoted), "the replica is not promoted:\n{}", self.sentinels[0].log());
        self.primary = 1 - self.primary;
    }

    /// Asks the Sentinels to promote the replica although the primary is well. Waits while another failover is under way.
    pub fn ask_for_failover(&self) {
        let asked = || {
            self.sentinels[0].command(&["SENTINEL", "FAILOVER", SERVICE]).is_some_and(|reply| reply.starts_with("+OK"))
        };
        assert!(wait_until(asked), "no failover begins:\n{}", self.sentinels[0].log());
    }

    /// Cuts the connections of all clients that are subscribed at a Sentinel.
    pub fn cut_subscribers(&self) {
        for sentinel in &self.sentinels {
            sentinel.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        }
    }

    /// Starts the killed server again after the promotion, and waits until it is a replica in sync.
    pub fn rejoin(&mut self) {
        let old = &mut self.servers[1 - self.primary];
        old.run();
        assert!(wait_until(|| is_in_sync(old)), "the old primary does not become a replica:\n{}", old.log());
    }
}

/// Freezes a server: it keeps its connections and does not reply.
pub fn freeze(server: &RedisServer) {
    send_signal(server.pid(), Signal::STOP);
}

/// Lets a frozen server continue. It then handles everything that it received meanwhile.
pub fn thaw(server: &RedisServer) {
    send_signal(server.pid(), Signal::CONT);
}

fn start_sentinel(primary: &str) -> RedisServer {
    let mut sentinel = RedisServer::new("redis-sentinel", free_port(), &[]);
    let lines = [
        format!("sentinel monitor {SERVICE} 127.0.0.1 {primary} 2"),
        format!("sentinel down-after-milliseconds {SERVICE} 1000"),
        // A failed failover is tried again after twice this time.
        format!("sentinel failover-timeout {SERVICE} 5000"),
    ];
    // A Sentinel rewrites this file with everything that it learns.
    std::fs::write(sentinel.folder().join("sentinel.conf"), lines.join("\n") + "\n").expect("a file");
    sentinel.run();
    sentinel
}

fn is_in_sync(server: &RedisServer) -> bool {
    has_line(server, "role:slave") && has_line(server, "master_link_status:up")
}

/// Returns whether `INFO replication` has this line.
fn has_line(server: &RedisServer, line: &str) -> bool {
    let info = server.command(&["INFO", "replication"]);
    info.is_some_and(|info| info.lines().any(|found| found == line))
}

/// Returns whether the reply to a command has a field with this value.
fn replies_field(server: &RedisServer, command: &[&str], field: &str, value: &str) -> bool {
    let pair = format!("\r\n{field}\r\n${}\r\n{value}\r\n", value.len());
    server.command(command).is_some_and(|reply| reply.contains(&pair))
}

#[track_caller]
fn expect(reply: Option<&str>, start: &str) {
    assert!(reply.is_some_and(|reply| reply.starts_with(start)), "{reply:?} is not {start}");
}

/// A write that was acknowledged and not replicated is gone after the failover.
#[test]
fn a_lagging_replica_is_promoted_without_the_latest_writes() {
    let mut set = SentinelSet::start(&[]);
    let write = |server: &RedisServer, key: &str| expect(server.command(&["SET", key, "1"]).as_deref(), "+OK");
    write(set.primary(), "a");
    assert!(wait_until(|| set.replica().command(&["GET", "a"]).is_some_and(|reply| reply.contains('1'))));
    set.cut_replication();
    write(set.primary(), "b");
    set.kill_primary();
    set.wait_for_promotion();
    expect(set.primary().command(&["GET", "a"]).as_deref(), "$1");
    expect(set.primary().command(&["GET", "b"]).as_deref(), "$-1");
    set.rejoin();
    set.cut_subscribers();
    assert_eq!(set.url().matches("127.0.0.1").count(), 3);
}

#[test]
fn a_frozen_primary_becomes_a_replica_when_it_thaws() {
    let mut set = SentinelSet::start(&[]);
    freeze(set.primary());
    set.wait_for_promotion();
    thaw(set.replica());
    let replica = set.replica();
    assert!(wait_until(|| is_in_sync(replica)), "{}", replica.log());
}
