//! Calls during which the server dies, freezes, or closes the connection.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tidecast_test::wait_until;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_server_is_reached_again() {
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let commands = commands(&server.url());
    let script = Script::new(INCREMENT);
    assert_eq!(commands.call(increment(&script, "n", false)).await, Ok(Value::Int(1)));
    server.kill();
    // The first call may be under way when the socket closes. Later ones find no server.
    wait_for(async || match commands.call(increment(&script, "n", false)).await {
        Err(CallError::Unavailable { maybe_executed: false, .. }) => Ok(()),
        other => Err(other),
    })
    .await;
    let results = commands.call_all(vec![increment(&script, "n", true), increment(&script, "n", false)]).await;
    assert!(
        results.iter().all(|result| matches!(result, Err(CallError::Unavailable { maybe_executed: false, .. }))),
        "{results:?}"
    );
    assert!(commands.ping().await.is_err());
    server.run();
    assert_eq!(wait_for(async || commands.call(increment(&script, "n", false)).await).await, Value::Int(2));
    assert_eq!(commands.ping().await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_fails_within_the_time_out() {
    let server = RedisServer::start(&[]);
    let timeout = Duration::from_millis(300);
    let commands = commands_within(&server.url(), timeout);
    let script = Script::new(INCREMENT);
    assert_eq!(commands.call(increment(&script, "n", false)).await, Ok(Value::Int(1)));
    signal("STOP", server.pid());
    let begun = Instant::now();
    let result = commands.call(increment(&script, "n", false)).await;
    assert!(matches!(result, Err(CallError::Unavailable { maybe_executed: true, .. })), "{result:?}");
    assert!(begun.elapsed() < timeout * 10, "{:?}", begun.elapsed());
    // The next call makes a new connection, which the kernel accepts.
    let result = commands.call(increment(&script, "n", false)).await;
    assert!(matches!(result, Err(CallError::Unavailable { maybe_executed: false, .. })), "{result:?}");
    let result = commands.ping().await;
    assert!(matches!(result, Err(CallError::Unavailable { .. })), "{result:?}");
    signal("CONT", server.pid());
    // The server executes what it received before, once.
    assert_eq!(wait_for(async || commands.call(increment(&script, "n", false)).await).await, Value::Int(3));
}

/// However often the connection is closed, an acknowledged call is executed once, and another one at most 1 time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_is_executed_twice_when_connections_are_killed() {
    let server = RedisServer::start(&[]);
    let commands = commands(&server.url());
    let script = Arc::new(Script::new(INCREMENT));
    let done = Arc::new(AtomicUsize::new(0));
    let in_doubt = Arc::new(AtomicUsize::new(0));
    let publishers: Vec<_> = (0..8)
        .map(|_| {
            let (commands, script) = (commands.clone(), Arc::clone(&script));
            let (done, in_doubt) = (Arc::clone(&done), Arc::clone(&in_doubt));
            let until = Instant::now() + PATIENCE;
            tokio::spawn(async move {
                while done.load(Ordering::SeqCst) < 4_000 && Instant::now() < until {
                    let calls = (0..25).map(|_| commands.call(increment(&script, "n", false)));
                    for result in join_all(calls).await {
                        match result {
                            Ok(_) => done.fetch_add(1, Ordering::SeqCst),
                            // A call that was queued just as the connection ended was never answered.
                            Err(CallError::Unavailable { reason, .. }) if reason.contains("no reply") => {
                                panic!("{reason}")
                            }
                            Err(CallError::Unavailable { maybe_executed: true, .. }) => {
                                in_doubt.fetch_add(1, Ordering::SeqCst)
                            }
                            Err(CallError::Unavailable { maybe_executed: false, .. }) => 0,
                            Err(other) => panic!("{other}"),
                        };
                    }
                    sleep(Duration::from_millis(1)).await;
                }
            })
        })
        .collect();
    let mut done_at_kill = 0;
    while !publishers.iter().all(tokio::task::JoinHandle::is_finished) {
        // Only a connection that executed calls, however slow the machine is.
        let done = done.load(Ordering::SeqCst);
        if done >= done_at_kill + 100 {
            done_at_kill = done;
            server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        }
        sleep(Duration::from_millis(1)).await;
    }
    for publisher in publishers {
        publisher.await.expect("no panic");
    }
    let (done, in_doubt) = (done.load(Ordering::SeqCst), in_doubt.load(Ordering::SeqCst));
    let counted = wait_for(async || commands.command(None, cmd(&["GET", "n"]), true).await).await;
    let counted = usize::try_from(number(counted)).expect("a count");
    assert!((done..=done + in_doubt).contains(&counted), "{done} done, {in_doubt} in doubt, {counted} counted");
    assert!(done >= 4_000 && in_doubt > 0, "{done} done, {in_doubt} in doubt");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeatable_call_is_repeated() {
    let server = RedisServer::start(&[]);
    let commands = commands(&server.url());
    let waiting = {
        let commands = commands.clone();
        tokio::spawn(async move { commands.command(None, cmd(&["BLPOP", "list", "0"]), true).await })
    };
    let blocked = || server.command(&["CLIENT", "LIST"]).is_some_and(|list| list.contains("cmd=blpop"));
    assert!(wait_until(blocked));
    server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    assert!(wait_until(blocked));
    server.command(&["RPUSH", "list", "x"]);
    let popped = waiting.await.expect("no panic").expect("popped");
    assert_eq!(popped, Value::Array(vec![Value::BulkString(b"list".to_vec()), Value::BulkString(b"x".to_vec())]));
}

/// A server that closes each connection at once gets few connects, however many calls wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_cause_few_connects() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let commands = commands(&format!("redis://{}", listener.local_addr().expect("an address")));
    let accepted = Arc::new(AtomicUsize::new(0));
    let accepting = tokio::spawn({
        let accepted = Arc::clone(&accepted);
        async move {
            while listener.accept().await.is_ok() {
                accepted.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let begun = Instant::now();
    for _ in 0..50 {
        let calls = (0..100).map(|_| commands.command(None, cmd(&["ECHO", "x"]), false));
        for result in join_all(calls).await {
            assert!(matches!(result, Err(CallError::Unavailable { maybe_executed: false, .. })), "{result:?}");
        }
    }
    // The first connect, and then at most one in 100 ms.
    let most = 1 + begun.elapsed().as_millis() / 100;
    assert!(accepted.load(Ordering::SeqCst) as u128 <= most, "{accepted:?} connects");
    accepting.abort();
}

fn signal(signal: &str, pid: u32) {
    let sent = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status().expect("kill runs");
    assert!(sent.success());
}
