//! A primary and its replica, and three sentinels that put the one in the place of the other.
//!
//! The sentinels' times are as short as a busy machine bears: a second of silence is the end of a primary. What a test
//! brings about is waited for here, asking the sentinels and the servers themselves; no function sleeps for a time.

use rustix::process::{Pid, Signal, kill_process};

use super::server::{Server, free_port, wait_until};

/// The name under which the sentinels watch the primary.
pub(crate) const SERVICE: &str = "tidecast";

/// A primary and its replica, watched.
#[derive(Debug)]
pub(crate) struct Sentinels {
    servers: [Server; 2],
    /// Which of them is the primary, after all that was waited for.
    primary: usize,
    sentinels: Vec<Server>,
}

impl Sentinels {
    /// Starts all of it, with more options for the two servers, and waits until everybody knows everybody.
    pub(crate) fn start(options: &[&str]) -> Self {
        // A replica that comes is served at once; by default a primary waits 5 s for others that may come too.
        let options = [&["--repl-diskless-sync-delay", "0"], options].concat();
        let servers = [Server::start(&options), Server::start(&options)];
        let port = servers[0].port.to_string();
        expect(servers[1].command(&["REPLICAOF", "127.0.0.1", &port]).as_deref(), "+OK");
        assert!(wait_until(|| is_in_sync(&servers[1])), "the replica is never in sync:\n{}", servers[1].log());

        let sentinels: Vec<_> = (0..3).map(|_| start_sentinel(&port)).collect();
        let rig = Self { servers, primary: 0, sentinels };
        for sentinel in &rig.sentinels {
            let knows = |field: &str, count: &str| says(sentinel, &["SENTINEL", "MASTER", SERVICE], field, count);
            let knows_all = || knows("num-other-sentinels", "2") && knows("num-slaves", "1");
            assert!(wait_until(knows_all), "a sentinel is alone:\n{}", sentinel.log());
        }
        rig
    }

    /// Where a client begins.
    pub(crate) fn url(&self) -> String {
        let addresses: Vec<_> = self.sentinels.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
        format!("redis+sentinel://{}/{SERVICE}/0", addresses.join(","))
    }

    pub(crate) fn primary(&self) -> &Server {
        &self.servers[self.primary]
    }

    pub(crate) fn replica(&self) -> &Server {
        &self.servers[1 - self.primary]
    }

    /// Lets the replica miss what is written from now on, while the primary goes on to acknowledge it.
    ///
    /// Within ten seconds the primary is to be killed: no sentinel promotes a replica that was cut off for longer.
    pub(crate) fn cut_replication(&self) {
        // The connection is ended, and another one is not allowed.
        expect(self.primary().command(&["ACL", "SETUSER", "default", "-psync", "-sync"]).as_deref(), "+OK");
        expect(self.primary().command(&["CLIENT", "KILL", "TYPE", "replica"]).as_deref(), ":1");
        let is_cut = || says_line(self.replica(), "master_link_status:down");
        assert!(wait_until(is_cut), "the replica is not cut off:\n{}", self.replica().log());
    }

    /// Ends the primary at once.
    pub(crate) fn kill_primary(&mut self) {
        self.servers[self.primary].kill();
    }

    /// Waits until the replica is the primary, and every sentinel says so. The old one is to be dead or frozen.
    pub(crate) fn wait_for_promotion(&mut self) {
        let replica = self.replica();
        let port = format!("\r\n{}\r\n", replica.port);
        let ask = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE];
        let is_known = |sentinel: &Server| sentinel.command(&ask).is_some_and(|answer| answer.contains(&port));
        let is_promoted = || says_line(replica, "role:master") && self.sentinels.iter().all(is_known);
        assert!(wait_until(is_promoted), "nobody is promoted:\n{}", self.sentinels[0].log());
        self.primary = 1 - self.primary;
    }

    /// Has the Sentinels put the replica in the place of the primary, which is well. No other failover may be under way.
    pub(crate) fn ask_for_failover(&self) {
        let asked =
            || self.sentinels[0].command(&["SENTINEL", "FAILOVER", SERVICE]).is_some_and(|it| it.starts_with("+OK"));
        assert!(wait_until(asked), "no failover is begun:\n{}", self.sentinels[0].log());
    }

    /// Cuts whoever listens to a Sentinel.
    pub(crate) fn cut_listeners(&self) {
        for sentinel in &self.sentinels {
            sentinel.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        }
    }

    /// Starts the server that was killed before the promotion, and waits until the sentinels have made it a replica that
    /// has all that the primary has.
    pub(crate) fn rejoin(&mut self) {
        let old = &mut self.servers[1 - self.primary];
        old.run();
        assert!(wait_until(|| is_in_sync(old)), "the old primary is no replica:\n{}", old.log());
    }
}

/// Freezes a server: it keeps its connections and answers nothing.
pub(crate) fn freeze(server: &Server) {
    signal(server, Signal::STOP);
}

/// Lets a frozen server go on, with all that it has not read yet.
pub(crate) fn thaw(server: &Server) {
    signal(server, Signal::CONT);
}

fn signal(server: &Server, signal: Signal) {
    let pid = i32::try_from(server.pid()).ok().and_then(Pid::from_raw).expect("a process has an id");
    kill_process(pid, signal).expect("the server can be signalled");
}

fn start_sentinel(primary: &str) -> Server {
    let mut sentinel = Server::new("redis-sentinel", free_port(), &[]);
    let lines = [
        format!("sentinel monitor {SERVICE} 127.0.0.1 {primary} 2"),
        format!("sentinel down-after-milliseconds {SERVICE} 1000"),
        // After twice as long a failover that came to nothing is tried again.
        format!("sentinel failover-timeout {SERVICE} 5000"),
    ];
    // A sentinel writes into this file whatever it learns.
    std::fs::write(sentinel.folder().join("sentinel.conf"), lines.join("\n") + "\n").expect("a file");
    sentinel.run();
    sentinel
}

fn is_in_sync(server: &Server) -> bool {
    says_line(server, "role:slave") && says_line(server, "master_link_status:up")
}

/// Whether a line of `INFO replication` is this.
fn says_line(server: &Server, line: &str) -> bool {
    let info = server.command(&["INFO", "replication"]);
    info.is_some_and(|info| info.lines().any(|said| said == line))
}

/// Whether a command is answered with this value after this field.
fn says(server: &Server, command: &[&str], field: &str, value: &str) -> bool {
    let pair = format!("\r\n{field}\r\n${}\r\n{value}\r\n", value.len());
    server.command(command).is_some_and(|answer| answer.contains(&pair))
}

#[track_caller]
fn expect(answer: Option<&str>, start: &str) {
    assert!(answer.is_some_and(|answer| answer.starts_with(start)), "{answer:?} is not {start}");
}

/// The rig itself: what was acknowledged and not replicated is gone after the failover.
#[test]
fn a_replica_that_lags_is_promoted_with_what_it_has() {
    let mut rig = Sentinels::start(&[]);
    let set = |server: &Server, key: &str| expect(server.command(&["SET", key, "1"]).as_deref(), "+OK");
    set(rig.primary(), "a");
    assert!(wait_until(|| rig.replica().command(&["GET", "a"]).is_some_and(|answer| answer.contains('1'))));
    rig.cut_replication();
    set(rig.primary(), "b");
    rig.kill_primary();
    rig.wait_for_promotion();
    expect(rig.primary().command(&["GET", "a"]).as_deref(), "$1");
    expect(rig.primary().command(&["GET", "b"]).as_deref(), "$-1");
    rig.rejoin();
    rig.cut_listeners();
    assert_eq!(rig.url().matches("127.0.0.1").count(), 3);
}

/// The rig itself: a primary that was frozen believes that it is one for a moment, and is told better.
#[test]
fn a_primary_that_thaws_is_made_a_replica() {
    let mut rig = Sentinels::start(&[]);
    freeze(rig.primary());
    rig.wait_for_promotion();
    thaw(rig.replica());
    let replica = rig.replica();
    assert!(wait_until(|| is_in_sync(replica)), "{}", replica.log());
}
