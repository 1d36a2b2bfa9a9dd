//! Another server than last time, and a Cluster's.

use tidecast_test::{free_port, wait_until};

use super::*;

/// A server that was restarted may have lost what it had acknowledged, so what it gives out now must not be taken for
/// that.
#[test]
fn a_restarted_server_begins_a_new_epoch_and_counts_on() {
    let mut rig = Rig::new();
    let first = rig.publish_once("1", "key", "answer");
    rig.publish("2");
    let mut epochs = vec![first.position.epoch];
    for restart in 1..=2 {
        rig.restart();
        // Before anything is published, nothing has changed.
        let head = rig.head().unwrap();
        assert!(rig.fill(Some(head.offset)).complete);
        let after = rig.publish("after");
        assert_eq!(after.offset, head.offset + 1);
        assert!(!epochs.contains(&after.epoch));
        epochs.push(after.epoch);

        let filled = rig.fill(Some(0));
        assert_eq!((filled.head, filled.complete), (after, true));
        assert_eq!(end_of(&filled.lineage, first.position.epoch).unwrap().offset, 2);
        assert_eq!(end_of(&filled.lineage, after.epoch), None);
        let ended: Vec<_> = epochs[..restart].iter().rev().copied().zip((2..after.offset).rev()).collect();
        assert_eq!(filled.lineage.ends(), ended, "newest first, each with where it ended");
        let again = rig.publish_once("1", "key", "other");
        assert_eq!(again, Accepted { repeated: true, server: again.server.clone(), ..first.clone() });
    }
}

#[test]
fn a_server_that_lost_the_last_events_does_not_reuse_their_positions() {
    let mut rig = Rig::new();
    rig.publish("1");
    rig.command(&["SAVE"]);
    let lost = rig.publish_once("lost", "key", "");
    rig.server.kill();
    rig.server.run();
    rig.connection = connect(&rig.server.url());
    let after = rig.publish("2");
    assert_eq!(after.offset, lost.position.offset);
    assert_ne!(after.epoch, lost.position.epoch);
    let filled = rig.fill(None);
    assert_eq!(end_of(&filled.lineage, lost.position.epoch).unwrap().offset, 1);
    // Its key went with it.
    assert!(!rig.publish_once("lost", "key", "").repeated);
}

#[test]
fn the_last_eight_epochs_are_known() {
    let mut rig = Rig::new();
    let meta = rig.keys.meta.clone();
    let mut ends = Vec::new();
    for _ in 0..12 {
        ends.insert(0, rig.publish("x"));
        // As if another server had written it.
        rig.command(&["HSET", &meta, "r", "another"]);
    }
    let filled = rig.fill(None);
    assert_eq!(filled.head, ends[0]);
    for end in &ends[1..9] {
        assert_eq!(end_of(&filled.lineage, end.epoch), Some(*end));
    }
    assert_eq!(end_of(&filled.lineage, ends[9].epoch), None);
}

/// A channel may be silent while its primary is demoted and promoted again. The process is the same then, so its
/// `run_id` would not tell; what it acknowledged before may be gone.
#[test]
fn a_promotion_begins_a_new_epoch() {
    let mut rig = Rig::new();
    let other = RedisServer::start(&[]);
    let port = rig.server.port.to_string();
    assert_eq!(other.command(&["REPLICAOF", "127.0.0.1", &port]).as_deref(), Some("+OK\r\n"));
    let linked = |server: &RedisServer| {
        server.command(&["INFO", "replication"]).is_some_and(|info| info.contains("master_link_status:up"))
    };
    assert!(wait_until(|| linked(&other)), "{}", other.log());
    let before = rig.publish("x");
    assert_eq!(rig.publish("x").epoch, before.epoch);

    let meta = rig.keys.meta.clone();
    let has_it = |server: &RedisServer| server.command(&["HGET", &meta, "o"]).as_deref() == Some("$1\r\n2\r\n");
    assert!(wait_until(|| has_it(&other)));
    other.command(&["REPLICAOF", "NO", "ONE"]);
    let mut promoted = Rig::on(other);
    let after = promoted.publish("x");
    assert_eq!(after.offset, 3);
    assert_ne!(after.epoch, before.epoch);
    assert_eq!(end_of(&promoted.fill(None).lineage, before.epoch), Some(Position { offset: 2, ..before }));

    // The first one is demoted and promoted again.
    let port = promoted.server.port.to_string();
    rig.command(&["REPLICAOF", "127.0.0.1", &port]);
    assert!(wait_until(|| linked(&rig.server)), "{}", rig.server.log());
    rig.command(&["REPLICAOF", "NO", "ONE"]);
    let again = rig.publish("x");
    assert_ne!(again.epoch, after.epoch);
    assert_ne!(again.epoch, before.epoch);
}

#[test]
fn a_node_of_a_cluster_runs_them_and_sharded_channels_lie_with_the_keys() {
    let bus = free_port().to_string();
    let server = RedisServer::start(&["--cluster-enabled", "yes", "--cluster-port", &bus]);
    let mut rig = Rig::on(server);
    rig.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    assert!(wait_until(|| rig.text(&["CLUSTER", "INFO"]).contains("cluster_state:ok")));
    rig.use_channel("}a {b} \u{e9}:{");
    let own = Keys::new("tidecast", 0).own_channel(&rig.channel);
    let mut listener = Listener::new(&rig, "SSUBSCRIBE", &own);
    let key = IdempotencyKey::new("}{").unwrap();
    let event = Event::text("x");
    let publish = Publish {
        keys: &rig.keys,
        event: &event,
        idempotency_key: Some(&key),
        receipt: "",
        target: PublishTarget { name: &own, sharded: true, format: PlainFormat::Object },
        retention: &rig.retention,
        seen: &rig.servers.snapshot(),
    };
    let accepted = Publish::parse(run(&mut rig.connection, &publish.call()).unwrap()).unwrap();
    assert_eq!(accepted.redis_receivers, 1);
    assert_eq!(listener.next_of_ours().0, accepted.position);
    assert_eq!(offsets(&rig.fill(Some(0))), [1]);
    assert!(rig.forget().is_some());
}

/// An address moved to a promoted replica and back to the old server, which went on in its epoch as if nothing had
/// happened: what the replica had acknowledged was missing for clients that were away, and nothing told them.
#[test]
fn a_server_that_comes_back_begins_a_new_epoch_in_each_channel_once() {
    let mut rig = Rig::new();
    let mut other = Rig::new();
    let first = rig.publish("x");
    // The replica, by what it had and what it says of itself.
    let (from, to) = (&mut rig.connection, &mut other.connection);
    for key in [&rig.keys.meta, &rig.keys.events] {
        let dump: Vec<u8> = redis::cmd("DUMP").arg(key).query(from).unwrap();
        redis::cmd("RESTORE").arg(key).arg(0).arg(dump).exec(to).unwrap();
    }
    std::mem::swap(&mut rig.connection, &mut other.connection);
    let acknowledged = rig.publish("acknowledged by the other");
    assert_ne!(acknowledged.epoch, first.epoch);

    std::mem::swap(&mut rig.connection, &mut other.connection);
    let back = rig.publish("back");
    assert_eq!(back.offset, acknowledged.offset);
    assert!(back.epoch != acknowledged.epoch && back.epoch != first.epoch, "{back:?}");
    assert_eq!(end_of(&rig.fill(None).lineage, first.epoch), Some(first));
    assert_eq!(rig.publish("again"), Position { offset: back.offset + 1, ..back }, "once");
    // A node that saw the same, and one that saw neither, go on in it.
    let servers = std::mem::take(&mut rig.servers);
    assert_eq!(rig.publish("by a node that has just begun").epoch, back.epoch);
    rig.servers = servers;
    assert_eq!(rig.publish("again").epoch, back.epoch);
}

/// A mark was the other server and a count that began anew with each process, cut anywhere, and looked for as a part of
/// the text: a node that had been restarted between two such returns wrote the same mark again, and its readers were
/// told nothing.
#[test]
fn a_return_counts_for_each_process_whatever_others_have_noted() {
    let mut rig = Rig::new();
    let meta = rig.keys.meta.clone();
    let returned = || {
        let servers = ReplicationIds::default();
        ["first", "other", "first", "other"].iter().for_each(|server| servers.record(server));
        servers
    };
    let mut before = rig.publish("x");
    // Every time another process, as after a restart; more of them than are remembered.
    for _ in 0..100 {
        rig.servers = returned();
        let mark = String::from_utf8(rig.servers.snapshot().return_mark.to_vec()).unwrap();
        let after = rig.publish("first");
        assert_ne!(after.epoch, before.epoch, "{mark}");
        rig.servers = ReplicationIds::default();
        assert_eq!(rig.publish("again").epoch, after.epoch);
        let noted = rig.text(&["HGET", &meta, "s"]);
        assert!(noted.len() <= 1_024 && noted.split(',').all(|noted| noted.len() == mark.len()), "{noted}");
        before = after;
    }
    let servers = returned();
    let mark = String::from_utf8(servers.snapshot().return_mark.to_vec()).unwrap();
    rig.command(&["HSET", &meta, "s", &format!("{mark}0,0{mark}")]);
    rig.servers = servers;
    assert_ne!(rig.publish("not noted").epoch, before.epoch);
    // Of one node only the newest is noted.
    assert_eq!(rig.text(&["HGET", &meta, "s"]), format!("{mark},0{mark}"));
}
