//! Three primaries, and slots that move between them.

use tidecast_test::{free_port, redis::RedisCluster};

use super::*;
use crate::config::ChannelKind;
use crate::topology::slot_map::slot;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_reaches_the_node_of_its_key() {
    let cluster = RedisCluster::start(&[]);
    let commands = commands(&cluster.url());
    let script = Script::new(INCREMENT);
    let calls: Vec<_> = (0..300).map(|index| format!("key {index} é")).collect();
    for round in 1..=2 {
        let results = commands.call_all(calls.iter().map(|key| increment(&script, key, false)).collect()).await;
        assert!(results.iter().all(|result| *result == Ok(Value::Int(round))), "{results:?}");
    }
    assert_eq!(commands.ping().await, Ok(()));
    for key in ["{a}b", "a{}", "{", "é"] {
        let keyslot = cluster.nodes[0].command(&["CLUSTER", "KEYSLOT", key]).expect("a reply");
        assert_eq!(keyslot, format!(":{}\r\n", slot(key.as_bytes())));
    }

    // A slot moves step by step, with a key that exists and one that does not yet.
    let (key, slot) = ("{moves}n", slot(b"moves"));
    let from = RedisCluster::first_owner(slot);
    let to = (from + 1) % 3;
    let one = |key| commands.call(increment(&script, key, false));
    assert_eq!(one(key).await, Ok(Value::Int(1)));
    cluster.begin_move(slot, from, to);
    assert_eq!(one(key).await, Ok(Value::Int(2)));
    assert_eq!(one("{moves}new").await, Ok(Value::Int(1)), "ASK");
    cluster.move_key(key, from, to);
    assert_eq!(one(key).await, Ok(Value::Int(3)), "ASK");
    let both = commands.call_all(vec![increment(&script, key, false), increment(&script, "{moves}new", false)]).await;
    assert_eq!(both, [Ok(Value::Int(4)), Ok(Value::Int(2))]);
    cluster.end_move(slot, from, to);
    assert_eq!(one(key).await, Ok(Value::Int(5)), "MOVED");
    let both = commands.call_all(vec![increment(&script, key, false), increment(&script, "{moves}new", false)]).await;
    assert_eq!(both, [Ok(Value::Int(6)), Ok(Value::Int(3))]);
    assert_eq!(commands.target_of(b"{moves}"), commands.target_of(key.as_bytes()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_node_affects_only_its_slots() {
    let mut cluster = RedisCluster::start(&["--cluster-require-full-coverage", "no"]);
    let commands = commands_within(&cluster.url(), Duration::from_millis(700));
    let script = Script::new(INCREMENT);
    let key_of =
        |node| (0..).map(|n| format!("k{n}")).find(|key| RedisCluster::first_owner(slot(key.as_bytes())) == node);
    let [first, second, third] = [0, 1, 2].map(|node| key_of(node).expect("a key"));
    for key in [&first, &second, &third] {
        assert_eq!(commands.call(increment(&script, key, false)).await, Ok(Value::Int(1)));
    }
    cluster.nodes[0].kill();
    let result = wait_for(async || match commands.call(increment(&script, &first, false)).await {
        Err(CallError::Unavailable { maybe_executed: false, reason }) => Ok(reason),
        other => Err(other),
    })
    .await;
    assert!(!result.is_empty());
    let results = commands.call_all([&first, &second, &third].map(|key| increment(&script, key, false)).into()).await;
    assert!(matches!(results[0], Err(CallError::Unavailable { maybe_executed: false, .. })), "{results:?}");
    assert_eq!(results[1..], [Ok(Value::Int(2)), Ok(Value::Int(2))]);
    assert!(commands.ping().await.is_err());
    // Some of the targets are up.
    let mut targets = Vec::new();
    for _ in 0..3 {
        targets.extend(commands.listen_targets(ChannelKind::Plain).await.expect("two are up"));
    }
    assert!(targets.iter().any(|target| *target != targets[0]));
    cluster.nodes[0].run();
    wait_for(async || commands.call(increment(&script, &first, false)).await).await;
    wait_for(async || commands.ping().await).await;
}

#[tokio::test]
async fn a_cluster_that_is_down_fails_at_once() {
    let port = free_port();
    let commands = commands(&format!("redis+cluster://127.0.0.1:{port}"));
    for _ in 0..3 {
        let result = commands.command(Some("k"), cmd(&["GET", "k"]), true).await;
        assert!(matches!(result, Err(CallError::Unavailable { maybe_executed: false, .. })), "{result:?}");
    }
}

#[tokio::test]
async fn the_error_names_the_right_scheme() {
    let cluster = RedisCluster::start(&[]);
    let server = RedisServer::start(&[]);
    for (url, expected) in [
        (cluster.nodes[0].url(), "is a node of a Cluster: use redis+cluster://"),
        (format!("redis+cluster://127.0.0.1:{}", server.port), "is not in a Cluster: use redis://"),
    ] {
        let result = commands(&url).ping().await;
        assert!(matches!(&result, Err(CallError::Rejected(message)) if message.contains(expected)), "{result:?}");
    }
}
