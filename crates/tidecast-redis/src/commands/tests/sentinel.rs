//! The primary that Sentinels name.

use std::fs;

use tidecast_test::{free_port, wait_until};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

use super::*;

fn sentinel_of(primary: &RedisServer) -> RedisServer {
    let mut sentinel = RedisServer::new("redis-sentinel", free_port(), &[]);
    fs::write(sentinel.folder().join("sentinel.conf"), "").expect("a file");
    sentinel.run();
    let port = primary.port.to_string();
    sentinel.command(&["SENTINEL", "MONITOR", "events", "127.0.0.1", &port, "1"]);
    sentinel.command(&["SENTINEL", "SET", "events", "down-after-milliseconds", "500"]);
    sentinel
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_is_found_again_after_a_failover() {
    let primary = RedisServer::start(&[]);
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &primary.port.to_string()]);
    let sentinel = sentinel_of(&primary);
    // The first of them is down.
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", free_port(), sentinel.port);
    let commands = commands(&format!("redis+sentinel://{hosts}/events"));
    let script = Script::new(INCREMENT);
    assert_eq!(commands.call(increment(&script, "n", false)).await, Ok(Value::Int(1)));

    // The failover needs a replica that is up to date.
    let ready = || sentinel.command(&["SENTINEL", "FAILOVER", "events"]).is_some_and(|reply| reply.starts_with("+OK"));
    let caught_up = || replica.command(&["GET", "n"]).is_some_and(|reply| reply.contains("\r\n1\r\n"));
    assert!(wait_until(caught_up) && wait_until(ready), "{}", sentinel.log());
    wait_for(async || {
        let done = commands.call(increment(&script, "n", false)).await;
        let promoted = replica.command(&["ROLE"]).is_some_and(|role| role.contains("master"));
        if done.is_ok() && promoted { Ok(()) } else { Err(done) }
    })
    .await;
    wait_for(async || match commands.command(None, cmd(&["INFO", "server"]), true).await {
        Ok(info) if text(&info).is_some_and(|info| info.contains(&format!("tcp_port:{}", replica.port))) => Ok(()),
        other => Err(other),
    })
    .await;
    assert_eq!(commands.ping().await, Ok(()));
}

#[tokio::test]
async fn the_error_names_a_wrong_sentinel_or_service() {
    let primary = RedisServer::start(&[]);
    let sentinel = sentinel_of(&primary);
    for (url, expected) in [
        (format!("redis+sentinel://127.0.0.1:{}/other", sentinel.port), "does not know the service \"other\""),
        (format!("redis+sentinel://127.0.0.1:{}/events", primary.port), "is not a Sentinel"),
        (format!("redis://127.0.0.1:{}", sentinel.port), "use redis+sentinel://"),
        (format!("redis+sentinel://127.0.0.1:{}/events", free_port()), "no primary of \"events\" found"),
    ] {
        let result = commands_within(&url, Duration::from_secs(5)).ping().await.expect_err(&url);
        assert!(result.reason().contains(expected), "{url}: {result}");
    }
}

/// A connect to the old primary that was under way when a Sentinel announced another one was kept.
#[tokio::test]
async fn a_primary_that_moves_during_a_connect_is_left() {
    let server = RedisServer::start(&[]);
    let old = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let local = |port| Address::Tcp { host: "127.0.0.1".to_owned(), port };
    let config = RedisConfig::from_url("redis://localhost").expect("a good URL").connect_timeout(PATIENCE);
    let connector = Connector::new(&config).expect("no certificates to be read");
    let endpoint = Endpoint::Standalone(local(old.local_addr().expect("it is bound").port()));
    let node = Arc::new(RedisNode::new(endpoint, connector.clone()));
    let moving = async {
        let (mut socket, _) = old.accept().await.expect("it connects");
        let primary = local(server.port);
        connector.switched.send_replace(Some(primary.clone()));
        node.switch_to(&primary);
        let mut redis = TcpStream::connect(("127.0.0.1", server.port)).await.expect("it is there");
        copy_bidirectional(&mut socket, &mut redis).await
    };
    tokio::select! {
        connected = node.connection(Instant::now() + PATIENCE) => {
            assert!(connected.is_err_and(|error| error.reason().contains("has moved")));
        }
        ended = moving => panic!("it connects before {ended:?}"),
    }
}
