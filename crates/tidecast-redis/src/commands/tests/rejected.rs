//! Calls that a server rejects: they fail at once with its error, and are not executed.

use std::fs;

use tidecast_test::wait_until;

use super::*;

#[tokio::test]
async fn a_wrong_login_fails_with_the_servers_error() {
    let server = RedisServer::start(&[]);
    server.command(&["CONFIG", "SET", "requirepass", "right"]);
    for (login, protocol, expected) in [
        (":wrong@", 3, "WRONGPASS"),
        ("", 3, "NOAUTH"),
        ("", 2, "NOAUTH"),
        (":wrong@", 2, "authentication failed"),
        ("nobody:right@", 3, "WRONGPASS"),
    ] {
        let commands = commands(&format!("redis://{login}127.0.0.1:{}?protocol={protocol}", server.port));
        for result in [commands.ping().await, commands.command(None, cmd(&["GET", "k"]), true).await.map(drop)] {
            let Err(CallError::Rejected(message)) = result else { panic!("{login}: {result:?}") };
            assert!(message.contains(expected) && !message.contains("right"), "{login} RESP{protocol}: {message}");
        }
    }
    let right = commands(&format!("redis://default:right@127.0.0.1:{}", server.port));
    assert_eq!(right.ping().await, Ok(()));
}

#[tokio::test]
async fn a_missing_database_is_rejected() {
    let server = RedisServer::start(&["--databases", "2"]);
    let result = commands(&format!("redis://127.0.0.1:{}/2", server.port)).ping().await;
    assert!(
        matches!(&result, Err(CallError::Rejected(message)) if message.contains("DB index is out of range")),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_forbidden_command_is_rejected() {
    let server = RedisServer::start(&["--user", "little", "on", ">pw", "~*", "+hello", "+get", "+client|setname"]);
    let commands = commands(&format!("redis://little:pw@127.0.0.1:{}", server.port));
    assert_eq!(commands.command(None, cmd(&["GET", "k"]), true).await, Ok(Value::Nil));
    // It may not read the role, but it got an answer.
    assert_eq!(commands.ping().await, Ok(()));
    let script = Script::new(INCREMENT);
    let result = commands.call(increment(&script, "n", true)).await;
    assert!(matches!(&result, Err(CallError::Rejected(message)) if message.starts_with("NOPERM")), "{result:?}");
}

#[tokio::test]
async fn a_full_server_rejects_at_once() {
    let server = RedisServer::start(&[]);
    let commands = commands(&server.url());
    let script = Script::new(INCREMENT);
    assert_eq!(commands.call(increment(&script, "n", false)).await, Ok(Value::Int(1)));
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let result = commands.call(increment(&script, "n", false)).await;
    assert!(matches!(&result, Err(CallError::Rejected(message)) if message.starts_with("OOM")), "{result:?}");
    let results = commands.call_all(vec![increment(&script, "n", true)]).await;
    assert!(matches!(&results[..], [Err(CallError::Rejected(message))] if message.starts_with("OOM")), "{results:?}");
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(commands.call(increment(&script, "n", false)).await, Ok(Value::Int(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_save_rejects() {
    let server = RedisServer::start(&["--save", "3600 1"]);
    // A folder in place of the file, which not even root can overwrite.
    fs::create_dir(server.folder().join("dump.rdb")).expect("a folder");
    let commands = commands(&server.url());
    let script = Script::new(INCREMENT);
    server.command(&["BGSAVE"]);
    let failed_to_save =
        || server.command(&["INFO", "persistence"]).is_some_and(|info| info.contains("bgsave_status:err"));
    assert!(wait_until(failed_to_save), "{}", server.log());
    let result = commands.call(increment(&script, "n", false)).await;
    assert!(matches!(&result, Err(CallError::Rejected(message)) if message.starts_with("MISCONF")), "{result:?}");
}

#[tokio::test]
async fn too_few_replicas_are_rejected() {
    let server = RedisServer::start(&["--min-replicas-to-write", "1"]);
    let script = Script::new(INCREMENT);
    let result = commands(&server.url()).call(increment(&script, "n", false)).await;
    assert!(matches!(&result, Err(CallError::Rejected(message)) if message.starts_with("NOREPLICAS")), "{result:?}");
}

/// After the primary is demoted, a call waits for the next one until its deadline.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demoted_primary_is_left() {
    let (primary, server) = (RedisServer::start(&[]), RedisServer::start(&[]));
    let commands = commands_within(&server.url(), Duration::from_millis(500));
    let script = Script::new(INCREMENT);
    assert_eq!(commands.call(increment(&script, "n", false)).await, Ok(Value::Int(1)));
    server.command(&["REPLICAOF", "127.0.0.1", &primary.port.to_string()]);
    let Err(CallError::Unavailable { reason, maybe_executed: false }) =
        commands.call(increment(&script, "n", false)).await
    else {
        panic!("it was executed")
    };
    assert!(reason.contains("replica"), "{reason}");
    assert!(commands.ping().await.is_err());
    server.command(&["REPLICAOF", "NO", "ONE"]);
    wait_for(async || commands.call(increment(&script, "n", false)).await).await;
    assert_eq!(commands.ping().await, Ok(()));
}

#[tokio::test]
async fn a_faulty_script_is_a_protocol_error() {
    let server = RedisServer::start(&[]);
    let commands = commands(&server.url());
    for source in ["return redis.call('NONSENSE')", "not Lua", "return redis.error_reply('NOSCRIPT none')"] {
        let script = Script::new(source);
        let result = commands.call(increment(&script, "n", true)).await;
        assert!(matches!(result, Err(CallError::Protocol(_))), "{source}: {result:?}");
    }
    assert_eq!(commands.ping().await, Ok(()));
}
