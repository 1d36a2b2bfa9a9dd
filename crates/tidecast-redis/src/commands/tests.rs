//! Calls to real servers, also to ones that fail during the call.

mod cluster;
mod lost;
mod rejected;
mod sentinel;

use std::time::Duration;

use tidecast_test::{PATIENCE, free_port, redis::RedisServer};
use tokio::time::sleep;

use super::*;
use crate::reply::text;

pub(super) fn commands(url: &str) -> Commands {
    commands_within(url, PATIENCE)
}

pub(super) fn commands_within(url: &str, timeout: Duration) -> Commands {
    let config = RedisConfig::from_url(url).expect("a good URL");
    Commands::new(&config.command_timeout(timeout).connect_timeout(timeout)).expect("no certificates to be read")
}

pub(super) fn cmd(expected: &[&str]) -> Cmd {
    let mut command = redis::cmd(expected[0]);
    command.arg(&expected[1..]);
    command
}

pub(super) fn number(value: Value) -> i64 {
    match value {
        Value::Int(number) => number,
        other => text(&other).and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{other:?} is not a number")),
    }
}

/// Calls a function until it succeeds.
pub(super) async fn wait_for<T, E: std::fmt::Debug>(mut ask: impl AsyncFnMut() -> Result<T, E>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Ok(result) => return result,
            Err(error) => assert!(Instant::now() < until, "still {error:?}"),
        }
        sleep(Duration::from_millis(10)).await;
    }
}

pub(super) fn increment<'a>(script: &'a Script, key: &str, repeatable: bool) -> ScriptCall<'a> {
    ScriptCall { script, keys: vec![key.to_owned()], arguments: vec![], repeatable }
}

pub(super) const INCREMENT: &str = "return redis.call('INCR', KEYS[1])";

#[tokio::test]
async fn an_unknown_script_is_sent_with_its_source() {
    let server = RedisServer::start(&[]);
    let commands = commands(&server.url());
    let script = Script::new("return {KEYS[1], ARGV[1], ARGV[2]}");
    let call = ScriptCall {
        script: &script,
        keys: vec!["a {key} é".to_owned()],
        arguments: vec![b"\0\r\n\xff".as_slice().into(), Default::default()],
        repeatable: false,
    };
    let expected = [&b"a {key} \xc3\xa9"[..], b"\0\r\n\xff", b""].map(|bytes| Value::BulkString(bytes.to_vec()));
    for _ in 0..2 {
        for _ in 0..2 {
            assert_eq!(commands.call(call.clone()).await, Ok(Value::Array(expected.to_vec())));
        }
        server.command(&["SCRIPT", "FLUSH"]);
    }
    assert_eq!(commands.ping().await, Ok(()));
    assert!(server.command(&["CLIENT", "LIST"]).is_some_and(|list| list.contains("name=tidecast ")));
}

#[tokio::test]
async fn commands_work_over_resp2() {
    let server = RedisServer::start(&[]);
    server.command(&["CONFIG", "SET", "requirepass", "right"]);
    let commands = commands(&format!("redis://:right@127.0.0.1:{}/3?protocol=2&client_name=me", server.port));
    assert_eq!(commands.command(None, cmd(&["SET", "k", "v"]), false).await, Ok(Value::Okay));
    assert_eq!(commands.ping().await, Ok(()));
    let info = commands.command(None, cmd(&["CLIENT", "INFO"]), true).await.expect("a reply");
    let info = text(&info).expect("a text");
    assert!(info.contains("resp=2") && info.contains("db=3") && info.contains("name=me"), "{info}");
}

#[tokio::test]
async fn commands_work_over_a_unix_socket() {
    let mut server = RedisServer::new("redis-server", free_port(), &["--save", "", "--unixsocket", "s"]);
    server.run();
    let url = format!("unix://{}/s?db=1", server.folder().display());
    assert_eq!(commands(&url).command(None, cmd(&["ECHO", "x"]), true).await, Ok(Value::BulkString(b"x".to_vec())));
    let missing = commands(&format!("unix://{}/none", server.folder().display())).ping().await;
    assert!(matches!(missing, Err(CallError::Unavailable { maybe_executed: false, .. })), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_concurrent_calls_are_each_executed_once() {
    let server = RedisServer::start(&[]);
    let commands = commands(&server.url());
    let script = Script::new(INCREMENT);
    let calls = (0..10_000).map(|_| commands.call(increment(&script, "n", false)));
    let mut numbers: Vec<i64> = join_all(calls).await.into_iter().map(|reply| number(reply.expect("done"))).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(1..=10_000));
    let connections = server.command(&["CLIENT", "LIST"]).map(|list| list.matches("name=tidecast ").count());
    assert_eq!(connections, Some(1));
}

#[tokio::test]
async fn a_batch_runs_in_order() {
    let server = RedisServer::start(&[]);
    let commands = commands(&server.url());
    let push = Script::new("return redis.call('RPUSH', KEYS[1], ARGV[1])");
    let fail = Script::new("return redis.call('INCR', KEYS[1])");
    let mut calls: Vec<ScriptCall<'_>> = (0..1_000)
        .map(|index| ScriptCall {
            script: &push,
            keys: vec!["list".to_owned()],
            arguments: vec![index.to_string().into_bytes().into()],
            repeatable: false,
        })
        .collect();
    calls.insert(500, increment(&fail, "list", false));
    let mut results = commands.call_all(calls).await;
    assert!(matches!(results.remove(500), Err(CallError::Protocol(expected)) if expected.starts_with("WRONGTYPE")));
    let lengths: Vec<i64> = results.into_iter().map(|result| number(result.expect("done"))).collect();
    assert!(lengths.into_iter().eq(1..=1_000));
    let Ok(Value::Array(list)) = commands.command(None, cmd(&["LRANGE", "list", "0", "-1"]), true).await else {
        panic!("no list")
    };
    assert!(list.iter().map(|item| text(item).expect("a text")).eq((0..1_000).map(|index| index.to_string())));
    assert!(commands.call_all(vec![]).await.is_empty());
}

/// If a caller stops waiting, the other calls still get their own replies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_call_does_not_affect_the_others() {
    let server = RedisServer::start(&[]);
    let commands = commands(&server.url());
    commands.ping().await.expect("it is there");
    for round in 0..200_u64 {
        let calls = (0..20).map(|index| {
            let (commands, message) = (commands.clone(), format!("{round}/{index}"));
            tokio::spawn(async move {
                let reply = commands.command(None, cmd(&["ECHO", &message]), false).await;
                assert_eq!(reply, Ok(Value::BulkString(message.into_bytes())));
            })
        });
        for (index, call) in calls.collect::<Vec<_>>().into_iter().enumerate() {
            if index % 2 == 0 {
                call.abort();
            }
            match call.await {
                Ok(()) => {}
                Err(error) => assert!(error.is_cancelled(), "{error}"),
            }
        }
    }
    assert!(server.command(&["CLIENT", "LIST"]).is_some_and(|list| list.matches("name=tidecast ").count() == 1));
}
