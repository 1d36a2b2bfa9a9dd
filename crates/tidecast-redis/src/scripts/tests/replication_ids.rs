//! Servers that change between two publishes.

use tidecast_test::{free_port, wait_until};

use super::*;

/// A restarted server may have lost acknowledged events, so new positions must differ from theirs.
#[test]
fn a_restarted_server_begins_a_new_epoch_and_continues_the_offsets() {
    let mut rig = ScriptRig::new();
    let first = rig.publish_once("1", "key", "answer");
    rig.publish("2");
    let mut epochs = vec![first.position.epoch];
    for restart in 1..=2 {
        rig.restart();
        // Nothing changes before the next publish.
        let head = rig.head().unwrap();
        assert!(rig.read(Some(head.offset)).complete);
        let after = rig.publish("after");
        assert_eq!(after.offset, head.offset + 1);
        assert!(!epochs.contains(&after.epoch));
        epochs.push(after.epoch);

        let page = rig.read(Some(0));
        assert_eq!((page.head, page.complete), (after, true));
        assert_eq!(end_of(&page.lineage, first.position.epoch).unwrap().offset, 2);
        assert_eq!(end_of(&page.lineage, after.epoch), None);
        let ended: Vec<_> = epochs[..restart].iter().rev().copied().zip((2..after.offset).rev()).collect();
        assert_eq!(page.lineage.ends(), ended, "newest first, each with its end");
        let again = rig.publish_once("1", "key", "other");
        assert_eq!(again, Accepted { repeated: true, server: again.server.clone(), ..first.clone() });
    }
}

#[test]
fn a_server_that_lost_the_last_events_does_not_reuse_their_positions() {
    let mut rig = ScriptRig::new();
    rig.publish("1");
    rig.command(&["SAVE"]);
    let lost = rig.publish_once("lost", "key", "");
    rig.server.kill();
    rig.server.run();
    rig.connection = connect(&rig.server.url());
    let after = rig.publish("2");
    assert_eq!(after.offset, lost.position.offset);
    assert_ne!(after.epoch, lost.position.epoch);
    let page = rig.read(None);
    assert_eq!(end_of(&page.lineage, lost.position.epoch).unwrap().offset, 1);
    // Its idempotency key was lost too.
    assert!(!rig.publish_once("lost", "key", "").repeated);
}

#[test]
fn the_last_eight_epochs_are_known() {
    let mut rig = ScriptRig::new();
    let meta = rig.keys.meta.clone();
    let mut ends = Vec::new();
    for _ in 0..12 {
        ends.insert(0, rig.publish("x"));
        // Another server wrote this.
        rig.command(&["HSET", &meta, "r", "another"]);
    }
    let page = rig.read(None);
    assert_eq!(page.head, ends[0]);
    for end in &ends[1..9] {
        assert_eq!(end_of(&page.lineage, end.epoch), Some(*end));
    }
    assert_eq!(end_of(&page.lineage, ends[9].epoch), None);
}

/// A primary may be demoted and promoted again between two publishes, and lose acknowledged events. It is the same process,
/// so its `run_id` would not show it.
#[test]
fn a_promotion_begins_a_new_epoch() {
    let mut rig = ScriptRig::new();
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
    let is_replicated = |server: &RedisServer| server.command(&["HGET", &meta, "o"]).as_deref() == Some("$1\r\n2\r\n");
    assert!(wait_until(|| is_replicated(&other)));
    other.command(&["REPLICAOF", "NO", "ONE"]);
    let mut promoted = ScriptRig::on(other);
    let after = promoted.publish("x");
    assert_eq!(after.offset, 3);
    assert_ne!(after.epoch, before.epoch);
    assert_eq!(end_of(&promoted.read(None).lineage, before.epoch), Some(Position { offset: 2, ..before }));

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
fn sharded_channels_have_the_slot_of_the_keys() {
    let bus = free_port().to_string();
    let server = RedisServer::start(&["--cluster-enabled", "yes", "--cluster-port", &bus]);
    let mut rig = ScriptRig::on(server);
    rig.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    assert!(wait_until(|| rig.text(&["CLUSTER", "INFO"]).contains("cluster_state:ok")));
    rig.use_channel("}a {b} \u{e9}:{");
    let own = Keys::new("tidecast", 0).own_channel(&rig.channel);
    let mut subscriber = PubSubClient::new(&rig, "SSUBSCRIBE", &own);
    let key = IdempotencyKey::new("}{").unwrap();
    let event = Event::text("x");
    let publish = Publish {
        keys: &rig.keys,
        event: &event,
        idempotency_key: Some(&key),
        receipt: "",
        target: PublishTarget { name: &own, kind: ChannelKind::Sharded, format: PlainFormat::Object },
        retention: &rig.retention,
        seen: &rig.replication_ids.snapshot(),
    };
    let accepted = Publish::parse(run(&mut rig.connection, &publish.call()).unwrap()).unwrap();
    assert_eq!(accepted.redis_receivers, 1);
    assert_eq!(subscriber.next_native().0, accepted.position);
    assert_eq!(offsets(&rig.read(Some(0))), [1]);
    assert!(rig.forget().is_some());
}

/// An address moved to a promoted replica and back to the old server, which continued its epoch. Clients that reconnected
/// later missed what the replica had acknowledged, and were not told.
#[test]
fn a_server_that_returns_begins_a_new_epoch_in_each_channel_once() {
    let mut rig = ScriptRig::new();
    let mut other = ScriptRig::new();
    let first = rig.publish("x");
    // The replica has the same keys and another replication id.
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
    assert_eq!(end_of(&rig.read(None).lineage, first.epoch), Some(first));
    assert_eq!(rig.publish("again"), Position { offset: back.offset + 1, ..back }, "once");
    // A node that saw the same return, and one that saw neither server, continue it.
    let servers = std::mem::take(&mut rig.replication_ids);
    assert_eq!(rig.publish("by a node that has just begun").epoch, back.epoch);
    rig.replication_ids = servers;
    assert_eq!(rig.publish("again").epoch, back.epoch);
}

/// A mark once named the other server and a count that began again with each process. A node that restarted between two
/// returns wrote the same mark again, and its readers were not told. The list of marks was also cut anywhere, and searched
/// as text.
#[test]
fn a_return_counts_for_each_process() {
    let mut rig = ScriptRig::new();
    let meta = rig.keys.meta.clone();
    let returned = || {
        let servers = ReplicationIds::default();
        ["first", "other", "first", "other"].iter().for_each(|server| servers.record(server));
        servers
    };
    let mut before = rig.publish("x");
    // Each time another process, as after a restart; more of them than the hash keeps.
    for _ in 0..100 {
        rig.replication_ids = returned();
        let mark = String::from_utf8(rig.replication_ids.snapshot().return_mark.to_vec()).unwrap();
        let after = rig.publish("first");
        assert_ne!(after.epoch, before.epoch, "{mark}");
        rig.replication_ids = ReplicationIds::default();
        assert_eq!(rig.publish("again").epoch, after.epoch);
        let marks = rig.text(&["HGET", &meta, "s"]);
        assert!(marks.len() <= 1_024 && marks.split(',').all(|other| other.len() == mark.len()), "{marks}");
        before = after;
    }
    let servers = returned();
    let mark = String::from_utf8(servers.snapshot().return_mark.to_vec()).unwrap();
    rig.command(&["HSET", &meta, "s", &format!("{mark}0,0{mark}")]);
    rig.replication_ids = servers;
    assert_ne!(rig.publish("not noted").epoch, before.epoch);
    // Only the newest mark of a node is kept.
    assert_eq!(rig.text(&["HGET", &meta, "s"]), format!("{mark},0{mark}"));
}
