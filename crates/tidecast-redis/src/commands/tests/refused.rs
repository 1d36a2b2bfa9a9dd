//! What a server will not do: said in its own words, at once, and what it was asked not done.

use std::fs;

use tidecast_test::wait_until;

use super::*;

#[tokio::test]
async fn a_wrong_login_is_refused_in_the_servers_words() {
    let server = RedisServer::start(&[]);
    server.command(&["CONFIG", "SET", "requirepass", "right"]);
    for (login, protocol, words) in [
        (":wrong@", 3, "WRONGPASS"),
        ("", 3, "NOAUTH"),
        ("", 2, "NOAUTH"),
        (":wrong@", 2, "authentication failed"),
        ("nobody:right@", 3, "WRONGPASS"),
    ] {
        let commands = commands(&format!("redis://{login}127.0.0.1:{}?protocol={protocol}", server.port));
        for failed in [commands.ping().await, commands.command(None, cmd(&["GET", "k"]), true).await.map(drop)] {
            let Err(CallError::Rejected(said)) = failed else { panic!("{login}: {failed:?}") };
            assert!(said.contains(words) && !said.contains("right"), "{login} RESP{protocol}: {said}");
        }
    }
    let right = commands(&format!("redis://default:right@127.0.0.1:{}", server.port));
    assert_eq!(right.ping().await, Ok(()));
}

#[tokio::test]
async fn a_database_that_is_not_there_is_refused() {
    let server = RedisServer::start(&["--databases", "2"]);
    let failed = commands(&format!("redis://127.0.0.1:{}/2", server.port)).ping().await;
    assert!(
        matches!(&failed, Err(CallError::Rejected(said)) if said.contains("DB index is out of range")),
        "{failed:?}"
    );
}

#[tokio::test]
async fn what_a_user_may_not_do_is_refused() {
    let server = RedisServer::start(&["--user", "little", "on", ">pw", "~*", "+hello", "+get", "+client|setname"]);
    let commands = commands(&format!("redis://little:pw@127.0.0.1:{}", server.port));
    assert_eq!(commands.command(None, cmd(&["GET", "k"]), true).await, Ok(Value::Nil));
    // It may not ask for the role. It was answered.
    assert_eq!(commands.ping().await, Ok(()));
    let script = Script::new(INCREMENT);
    let failed = commands.call(increment(&script, "n", true)).await;
    assert!(matches!(&failed, Err(CallError::Rejected(said)) if said.starts_with("NOPERM")), "{failed:?}");
}

#[tokio::test]
async fn a_full_server_is_not_asked_twice() {
    let server = RedisServer::start(&[]);
    let commands = commands(&server.url());
    let script = Script::new(INCREMENT);
    assert_eq!(commands.call(increment(&script, "n", false)).await, Ok(Value::Int(1)));
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let failed = commands.call(increment(&script, "n", false)).await;
    assert!(matches!(&failed, Err(CallError::Rejected(said)) if said.starts_with("OOM")), "{failed:?}");
    let answers = commands.call_all(vec![increment(&script, "n", true)]).await;
    assert!(matches!(&answers[..], [Err(CallError::Rejected(said))] if said.starts_with("OOM")), "{answers:?}");
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(commands.call(increment(&script, "n", false)).await, Ok(Value::Int(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_can_not_save_refuses() {
    let server = RedisServer::start(&["--save", "3600 1"]);
    // A folder in the place of the file: that no user can overwrite.
    fs::create_dir(server.folder().join("dump.rdb")).expect("a folder");
    let commands = commands(&server.url());
    let script = Script::new(INCREMENT);
    server.command(&["BGSAVE"]);
    let failed_to_save =
        || server.command(&["INFO", "persistence"]).is_some_and(|info| info.contains("bgsave_status:err"));
    assert!(wait_until(failed_to_save), "{}", server.log());
    let failed = commands.call(increment(&script, "n", false)).await;
    assert!(matches!(&failed, Err(CallError::Rejected(said)) if said.starts_with("MISCONF")), "{failed:?}");
}

#[tokio::test]
async fn too_few_replicas_are_a_reason() {
    let server = RedisServer::start(&["--min-replicas-to-write", "1"]);
    let script = Script::new(INCREMENT);
    let failed = commands(&server.url()).call(increment(&script, "n", false)).await;
    assert!(matches!(&failed, Err(CallError::Rejected(said)) if said.starts_with("NOREPLICAS")), "{failed:?}");
}

/// A primary that has been made a replica is as good as lost: what waits for it waits for the next, within its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_stepped_down_is_left() {
    let (primary, server) = (RedisServer::start(&[]), RedisServer::start(&[]));
    let commands = commands_within(&server.url(), Duration::from_millis(500));
    let script = Script::new(INCREMENT);
    assert_eq!(commands.call(increment(&script, "n", false)).await, Ok(Value::Int(1)));
    server.command(&["REPLICAOF", "127.0.0.1", &primary.port.to_string()]);
    let Err(CallError::Unavailable { reason, maybe_executed: false }) =
        commands.call(increment(&script, "n", false)).await
    else {
        panic!("it was done")
    };
    assert!(reason.contains("replica"), "{reason}");
    assert!(commands.ping().await.is_err());
    server.command(&["REPLICAOF", "NO", "ONE"]);
    wait_for(async || commands.call(increment(&script, "n", false)).await).await;
    assert_eq!(commands.ping().await, Ok(()));
}

#[tokio::test]
async fn a_script_that_is_wrong_is_broken_and_no_more() {
    let server = RedisServer::start(&[]);
    let commands = commands(&server.url());
    for source in ["return redis.call('NONSENSE')", "not Lua", "return redis.error_reply('NOSCRIPT none')"] {
        let script = Script::new(source);
        let failed = commands.call(increment(&script, "n", true)).await;
        assert!(matches!(failed, Err(CallError::Protocol(_))), "{source}: {failed:?}");
    }
    assert_eq!(commands.ping().await, Ok(()));
}
