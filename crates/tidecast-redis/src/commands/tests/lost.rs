//! What becomes of calls when the server dies, freezes, or closes the connection.

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
async fn a_server_that_died_is_found_again() {
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let commands = commands(&server.url());
    let script = Script::new(INCREMENT);
    assert_eq!(commands.call(increment(&script, "n", false)).await, Ok(Value::Int(1)));
    server.kill();
    // The first may have been under way when the socket was closed; then it is known that nobody is there.
    wait_for(async || match commands.call(increment(&script, "n", false)).await {
        Err(CallError::Unavailable { maybe_executed: false, .. }) => Ok(()),
        other => Err(other),
    })
    .await;
    let answers = commands.call_all(vec![increment(&script, "n", true), increment(&script, "n", false)]).await;
    assert!(
        answers.iter().all(|answer| matches!(answer, Err(CallError::Unavailable { maybe_executed: false, .. }))),
        "{answers:?}"
    );
    assert!(commands.ping().await.is_err());
    server.run();
    assert_eq!(wait_for(async || commands.call(increment(&script, "n", false)).await).await, Value::Int(2));
    assert_eq!(commands.ping().await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_given_up_in_time() {
    let server = RedisServer::start(&[]);
    let timeout = Duration::from_millis(300);
    let commands = commands_within(&server.url(), timeout);
    let script = Script::new(INCREMENT);
    assert_eq!(commands.call(increment(&script, "n", false)).await, Ok(Value::Int(1)));
    signal("STOP", server.pid());
    let begun = Instant::now();
    let failed = commands.call(increment(&script, "n", false)).await;
    assert!(matches!(failed, Err(CallError::Unavailable { maybe_executed: true, .. })), "{failed:?}");
    assert!(begun.elapsed() < timeout * 10, "{:?}", begun.elapsed());
    // The next one makes a new connection. The kernel accepts it, and nobody says anything.
    let failed = commands.call(increment(&script, "n", false)).await;
    assert!(matches!(failed, Err(CallError::Unavailable { maybe_executed: false, .. })), "{failed:?}");
    let failed = commands.ping().await;
    assert!(matches!(failed, Err(CallError::Unavailable { .. })), "{failed:?}");
    signal("CONT", server.pid());
    // It does what it was sent before it froze, once.
    assert_eq!(wait_for(async || commands.call(increment(&script, "n", false)).await).await, Value::Int(3));
}

/// However often the connection is closed: what was acknowledged was done once, and what was not, once or never.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_done_twice_when_connections_are_killed() {
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
                    for answer in join_all(calls).await {
                        match answer {
                            Ok(_) => done.fetch_add(1, Ordering::SeqCst),
                            // A call that was taken in just as the connection ended was once left to wait.
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
        // Only one that was of use, however slow the machine is.
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

/// What may be done twice is sent again, and so comes through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_repeatable_is_repeated() {
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

/// A server that takes connections and closes them at once is not stormed, however many call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_does_not_storm_a_server_that_is_away() {
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
        for answer in join_all(calls).await {
            assert!(matches!(answer, Err(CallError::Unavailable { maybe_executed: false, .. })), "{answer:?}");
        }
    }
    // One connect, then one in 100 ms at most.
    let most = 1 + begun.elapsed().as_millis() / 100;
    assert!(accepted.load(Ordering::SeqCst) as u128 <= most, "{accepted:?} connects");
    accepting.abort();
}

fn signal(signal: &str, pid: u32) {
    let sent = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status().expect("kill runs");
    assert!(sent.success());
}
