//! Three primaries, and slots that move between them.

use tidecast_test::{free_port, redis::RedisCluster};

use super::*;
use crate::topology::cluster::slot;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_key_is_at_its_node_wherever_that_is() {
    let cluster = RedisCluster::start(&[]);
    let commands = commands(&cluster.url());
    let script = Script::new(INCREMENT);
    let calls: Vec<_> = (0..300).map(|index| format!("key {index} é")).collect();
    for round in 1..=2 {
        let answers = commands.call_all(calls.iter().map(|key| increment(&script, key, false)).collect()).await;
        assert!(answers.iter().all(|answer| *answer == Ok(Value::Int(round))), "{answers:?}");
    }
    assert_eq!(commands.ping().await, Ok(()));
    for key in ["{a}b", "a{}", "{", "é"] {
        let keyslot = cluster.nodes[0].command(&["CLUSTER", "KEYSLOT", key]).expect("an answer");
        assert_eq!(keyslot, format!(":{}\r\n", slot(key.as_bytes())));
    }

    // Away and back, step by step, with a key that is there and one that is not yet.
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
async fn a_node_that_died_takes_only_its_slots_with_it() {
    let mut cluster = RedisCluster::start(&["--cluster-require-full-coverage", "no"]);
    let commands = commands_within(&cluster.url(), Duration::from_millis(700));
    let script = Script::new(INCREMENT);
    let key_of =
        |node| (0..).map(|n| format!("k{n}")).find(|key| RedisCluster::first_owner(slot(key.as_bytes())) == node);
    let [first, second, third] = [0, 1, 2].map(|node| key_of(node).expect("there are enough"));
    for key in [&first, &second, &third] {
        assert_eq!(commands.call(increment(&script, key, false)).await, Ok(Value::Int(1)));
    }
    cluster.nodes[0].kill();
    let failed = wait_for(async || match commands.call(increment(&script, &first, false)).await {
        Err(CallError::Unavailable { maybe_executed: false, reason }) => Ok(reason),
        other => Err(other),
    })
    .await;
    assert!(!failed.is_empty());
    let answers = commands.call_all([&first, &second, &third].map(|key| increment(&script, key, false)).into()).await;
    assert!(matches!(answers[0], Err(CallError::Unavailable { maybe_executed: false, .. })), "{answers:?}");
    assert_eq!(answers[1..], [Ok(Value::Int(2)), Ok(Value::Int(2))]);
    assert!(commands.ping().await.is_err());
    // Among those to listen at are some that are there.
    let mut targets = Vec::new();
    for _ in 0..3 {
        targets.extend(commands.listen_targets(false).await.expect("two are there"));
    }
    assert!(targets.iter().any(|target| *target != targets[0]));
    cluster.nodes[0].run();
    wait_for(async || commands.call(increment(&script, &first, false)).await).await;
    wait_for(async || commands.ping().await).await;
}

#[tokio::test]
async fn a_cluster_all_away_is_said_at_once() {
    let port = free_port();
    let commands = commands(&format!("redis+cluster://127.0.0.1:{port}"));
    for _ in 0..3 {
        let failed = commands.command(Some("k"), cmd(&["GET", "k"]), true).await;
        assert!(matches!(failed, Err(CallError::Unavailable { maybe_executed: false, .. })), "{failed:?}");
    }
}

#[tokio::test]
async fn the_wrong_scheme_is_said() {
    let cluster = RedisCluster::start(&[]);
    let server = RedisServer::start(&[]);
    for (url, words) in [
        (cluster.nodes[0].url(), "is a node of a Cluster: use redis+cluster://"),
        (format!("redis+cluster://127.0.0.1:{}", server.port), "is not in a Cluster: use redis://"),
    ] {
        let failed = commands(&url).ping().await;
        assert!(matches!(&failed, Err(CallError::Rejected(said)) if said.contains(words)), "{failed:?}");
    }
}
