//! Pub/sub connections to real servers.

use std::{process::Command, sync::Arc, time::Duration};

use parking_lot::Mutex;
use redis::{PushInfo, PushKind, Value};
use tidecast_test::{
    PATIENCE,
    redis::{RedisCluster, RedisServer},
    wait_until,
};
use tokio::time::Instant;

use crate::{
    RedisConfig, commands::Commands, config::ChannelKind, error::CallError, pubsub::connection::PubSubConnection,
    topology::slot_map::slot,
};

type Pushes = Arc<Mutex<Vec<PushInfo>>>;

fn commands(url: &str, probe_timeout: Duration) -> Commands {
    let config = RedisConfig::from_url(url).expect("a good URL").probe_timeout(probe_timeout);
    Commands::new(&config).expect("no certificates to be read")
}

async fn listen(commands: &Commands) -> (PubSubConnection, Pushes) {
    let pushes = Pushes::default();
    let target = commands.listen_targets(ChannelKind::Plain).await.expect("a target").remove(0);
    let on_push = {
        let pushes = Arc::clone(&pushes);
        move |push| pushes.lock().push(push)
    };
    (PubSubConnection::connect(commands, &target, on_push).await.expect("it is up"), pushes)
}

fn of_kind(pushes: &Pushes, kind: &PushKind) -> Vec<Vec<Value>> {
    pushes.lock().iter().filter(|push| push.kind == *kind).map(|push| push.data.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_names_of_any_bytes() {
    let server = RedisServer::start(&[]);
    let commands = commands(&server.url(), PATIENCE);
    let (connection, pushes) = listen(&commands).await;
    let names: Vec<Vec<u8>> = (0..2_000_u32)
        .map(|index| {
            [&index.to_le_bytes()[..], [b" \r\n", b"{\0}", b"\xff\xfe*", "ö✓".as_bytes()][index as usize % 4]].concat()
        })
        .collect();
    connection.subscribe(ChannelKind::Plain, &names).await.expect("confirmed");
    assert_eq!(of_kind(&pushes, &PushKind::Subscribe).len(), 2_000);
    for name in &names {
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(name).arg(name);
        assert_eq!(commands.command(None, publish, false).await, Ok(Value::Int(1)));
    }
    connection.ping().await.expect("a reply");
    // The reply to a ping follows all that was published before it.
    let expected = names.iter().map(|name| vec![Value::BulkString(name.clone()); 2]);
    assert!(of_kind(&pushes, &PushKind::Message).into_iter().eq(expected));

    connection.subscribe(ChannelKind::Plain, &names[..1]).await.expect("again");
    connection.unsubscribe(ChannelKind::Plain, &names).await.expect("confirmed");
    connection.unsubscribe(ChannelKind::Plain, &names[..1]).await.expect("again");
    connection.unsubscribe(ChannelKind::Plain, &names[..0]).await.expect("nothing");
    connection.subscribe(ChannelKind::Sharded, &names).await.expect("confirmed");
    connection.unsubscribe(ChannelKind::Sharded, &names).await.expect("confirmed");
    assert_eq!(of_kind(&pushes, &PushKind::SSubscribe).len(), 2_000);
    assert!(server.command(&["PUBSUB", "CHANNELS"]).is_some_and(|channels| channels.starts_with("*0")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_is_detected_and_dropping_closes_the_socket() {
    let mut server = RedisServer::start(&[]);
    let commands = commands(&server.url(), PATIENCE);
    let (dropped, _) = listen(&commands).await;
    drop(dropped);
    assert!(wait_until(|| server.command(&["CLIENT", "LIST"]).is_some_and(|list| !list.contains("name=tidecast"))));

    let (connection, _) = listen(&commands).await;
    connection.subscribe(ChannelKind::Plain, &["a"]).await.expect("confirmed");
    server.kill();
    assert!(!connection.closed().await.is_empty());
    for result in [connection.ping().await, connection.subscribe(ChannelKind::Plain, &["b"]).await] {
        assert!(matches!(result, Err(CallError::Unavailable { .. })), "{result:?}");
    }
    let targets = commands.listen_targets(ChannelKind::Sharded).await.expect("one");
    assert!(PubSubConnection::connect(&commands, &targets[0], |_| ()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_detects_a_frozen_server() {
    let server = RedisServer::start(&[]);
    let timeout = Duration::from_millis(200);
    let (connection, _) = listen(&commands(&server.url(), timeout)).await;
    connection.ping().await.expect("a reply");
    let signal = |signal: &str| Command::new("kill").args([signal, &server.pid().to_string()]).status().expect("kill");
    assert!(signal("-STOP").success());
    let begun = Instant::now();
    assert!(matches!(connection.ping().await, Err(CallError::Unavailable { .. })));
    assert!(begun.elapsed() < timeout * 10, "{:?}", begun.elapsed());
    assert!(connection.closed().await.contains("no reply within 200ms"));
    assert!(signal("-CONT").success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_request_does_not_affect_the_others() {
    let server = RedisServer::start(&[]);
    let (connection, pushes) = listen(&commands(&server.url(), PATIENCE)).await;
    for index in 0..200 {
        let name = [format!("channel {index}")];
        tokio::select! {
            biased;
            subscribed = connection.subscribe(ChannelKind::Plain, &name) => subscribed.expect("confirmed"),
            () = tokio::task::yield_now() => {}
        }
        connection.ping().await.expect("a reply");
    }
    // Requests dropped before they were sent are missing; the others are confirmed once.
    connection.subscribe(ChannelKind::Plain, &["last"]).await.expect("confirmed");
    let confirmed = of_kind(&pushes, &PushKind::Subscribe);
    assert_eq!(confirmed.last().map(|data| &data[0]), Some(&Value::BulkString(b"last".to_vec())));
}

#[tokio::test]
async fn a_forbidden_channel_is_rejected() {
    let server = RedisServer::start(&["--user", "little", "on", ">pw", "allcommands", "~*", "resetchannels", "&mine*"]);
    let url = format!("redis://little:pw@127.0.0.1:{}", server.port);
    let (connection, _) = listen(&commands(&url, PATIENCE)).await;
    let result = connection.subscribe(ChannelKind::Plain, &["mine", "other"]).await;
    assert!(matches!(&result, Err(CallError::Rejected(message)) if message.starts_with("NOPERM")), "{result:?}");
    assert_eq!(connection.subscribe(ChannelKind::Plain, &["mine", "mine too"]).await, Ok(()));
    assert_eq!(connection.ping().await, Ok(()));
}

#[tokio::test]
async fn a_wrong_password_and_a_replica_have_different_errors() {
    let (primary, server) = (RedisServer::start(&[]), RedisServer::start(&[]));
    let wrong = format!("redis://:wrong@127.0.0.1:{}", server.port);
    server.command(&["CONFIG", "SET", "requirepass", "right"]);
    let commands = |url: &str| commands(url, PATIENCE);
    for url in [&wrong, &server.url()] {
        let commands = commands(url);
        let target = commands.listen_targets(ChannelKind::Plain).await.expect("one").remove(0);
        let result = PubSubConnection::connect(&commands, &target, |_| ()).await.expect_err("no password");
        assert!(
            matches!(&result, CallError::Rejected(message) if message.contains("PASS") || message.contains("NOAUTH")),
            "{result:?}"
        );
    }
    server.command(&["CONFIG", "SET", "requirepass", ""]);
    primary.command(&["REPLICAOF", "127.0.0.1", &server.port.to_string()]);
    let commands = commands(&primary.url());
    let target = commands.listen_targets(ChannelKind::Plain).await.expect("one").remove(0);
    let result = PubSubConnection::connect(&commands, &target, |_| ()).await.expect_err("a replica");
    assert!(matches!(&result, CallError::Unavailable { reason, .. } if reason.contains("is a replica")), "{result:?}");
}

/// The old node of a moved slot ends its pushes unsolicited, which must not be taken for another reply.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sharded_channels_are_at_the_node_of_their_slot() {
    let cluster = RedisCluster::start(&[]);
    let commands = commands(&cluster.url(), PATIENCE);
    let targets = commands.listen_targets(ChannelKind::Sharded).await.expect("three");
    assert_eq!(targets.len(), 3);
    let pushes = Pushes::default();
    let mut connections = Vec::new();
    for target in &targets {
        let pushes = Arc::clone(&pushes);
        connections.push(
            PubSubConnection::connect(&commands, target, move |push| pushes.lock().push(push))
                .await
                .expect("it is there"),
        );
    }
    let names: Vec<String> = (0..60).map(|index| format!("channel {index}")).collect();
    let at =
        |name: &str| targets.iter().position(|target| Some(target) == commands.target_of(name.as_bytes()).as_ref());
    for (index, connection) in connections.iter().enumerate() {
        let own: Vec<&String> = names.iter().filter(|name| at(name) == Some(index)).collect();
        assert!(!own.is_empty());
        connection.subscribe(ChannelKind::Sharded, &own).await.expect("confirmed");
    }
    let name = &names[0];
    let old = at(name).expect("a target");
    let misplaced = connections[(old + 1) % 3].subscribe(ChannelKind::Sharded, &[name]).await;
    assert!(
        matches!(&misplaced, Err(CallError::Unavailable { reason, .. }) if reason.contains("has moved")),
        "{misplaced:?}"
    );

    let slot = slot(name.as_bytes());
    let from = RedisCluster::first_owner(slot);
    let to = (from + 1) % 3;
    cluster.begin_move(slot, from, to);
    cluster.end_move(slot, from, to);
    assert!(wait_until(|| !of_kind(&pushes, &PushKind::SUnsubscribe).is_empty()));
    for connection in &connections {
        assert_eq!(connection.ping().await, Ok(()));
    }
    let target = loop {
        commands.listen_targets(ChannelKind::Sharded).await.expect("three");
        let target = commands.target_of(name.as_bytes()).expect("a target");
        if target != targets[old] {
            break target;
        }
    };
    let new = targets.iter().position(|known| *known == target).expect("one of the three");
    connections[new].subscribe(ChannelKind::Sharded, &[name]).await.expect("confirmed");
    let mut publish = redis::cmd("SPUBLISH");
    publish.arg(name).arg("x");
    assert_eq!(commands.command(Some(name), publish, false).await, Ok(Value::Int(1)));
    assert!(wait_until(|| of_kind(&pushes, &PushKind::SMessage).len() == 1));
}
