//! A real Cluster of three primaries on free ports of the loopback interface, each with a third of the slots.

use super::RedisServer;
use crate::{free_port, wait_until};

/// A running Cluster, ended when it is dropped.
#[derive(Debug)]
pub struct RedisCluster {
    /// The three primaries.
    pub nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts a Cluster with more options for each node, and waits until every node knows the owner of every slot.
    pub fn start(options: &[&str]) -> Self {
        let mut buses = Vec::new();
        let mut nodes = Vec::new();
        for _ in 0..THIRDS.len() {
            // By default it is the port plus 10,000, which may exceed 65,535.
            let bus = free_port().to_string();
            let own = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", "2000"];
            nodes.push(RedisServer::start(&[&own, options].concat()));
            buses.push(bus);
        }
        let cluster = Self { nodes };
        for (index, (first, last)) in THIRDS.iter().enumerate() {
            let node = &cluster.nodes[index];
            ask(node, &["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]);
            ask(node, &["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
            let port = node.port.to_string();
            ask(&cluster.nodes[0], &["CLUSTER", "MEET", "127.0.0.1", &port, &buses[index]]);
        }
        let is_complete = |node: &RedisServer| {
            let info = node.command(&["CLUSTER", "INFO"]).unwrap_or_default();
            ["cluster_state:ok", "cluster_slots_ok:16384", "cluster_known_nodes:3"]
                .iter()
                .all(|line| info.contains(line))
        };
        assert!(wait_until(|| cluster.nodes.iter().all(is_complete)), "the Cluster does not become complete");
        cluster
    }

    /// Returns the URL with which a client finds the Cluster.
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("redis+cluster://{}", hosts.join(","))
    }

    /// Returns the index of the node that owns a slot right after the start.
    pub fn first_owner(slot: u16) -> usize {
        THIRDS.iter().position(|(first, last)| (*first..=*last).contains(&slot)).expect("a slot is below 16,384")
    }

    /// Begins to move a slot. From now on the old owner redirects requests for keys that it no longer has.
    pub fn begin_move(&self, slot: u16, from: usize, to: usize) {
        let slot = slot.to_string();
        ask(&self.nodes[to], &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &self.id(from)]);
        ask(&self.nodes[from], &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &self.id(to)]);
    }

    /// Moves one key of a slot whose move has begun.
    pub fn move_key(&self, key: &str, from: usize, to: usize) {
        let port = self.nodes[to].port.to_string();
        ask(&self.nodes[from], &["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]);
    }

    /// Ends the move of a slot, whose keys must all have been moved: the new node owns it from now on.
    pub fn end_move(&self, slot: u16, from: usize, to: usize) {
        let (slot, id) = (slot.to_string(), self.id(to));
        for node in [to, from] {
            ask(&self.nodes[node], &["CLUSTER", "SETSLOT", &slot, "NODE", &id]);
        }
    }

    fn id(&self, index: usize) -> String {
        let reply = ask(&self.nodes[index], &["CLUSTER", "MYID"]);
        reply.lines().nth(1).expect("MYID returns an id").to_owned()
    }
}

fn ask(node: &RedisServer, arguments: &[&str]) -> String {
    let reply = node.command(arguments).unwrap_or_else(|| panic!("no reply to {arguments:?}"));
    assert!(!reply.starts_with('-'), "{arguments:?}: {reply}");
    reply
}

const THIRDS: [(u16, u16); 3] = [(0, 5460), (5461, 10_922), (10_923, 16_383)];
