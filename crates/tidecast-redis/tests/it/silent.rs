//! Silent channels: a page that was connected is told of events that it may have missed, and of nothing else.

use std::time::Duration;

use tidecast::{Channel, Delivery, ResetReason, Start};
use tidecast_redis::RedisConfig;
use tidecast_test::{redis::RedisServer, wait_until};
use tokio::time::{sleep, timeout};

use crate::node::{Node, next, next_data, quick, until};

/// How long a channel's counter outlives its last event, short enough to expire within a test.
const IDLE: Duration = Duration::from_millis(800);

fn expiring_soon(server: &RedisServer) -> RedisConfig {
    quick(&server.url()).history_age_max(IDLE).idle_age_max(IDLE)
}

/// Returns whether Redis has no keys of the channel.
fn is_gone(server: &RedisServer) -> bool {
    server.command(&["EXISTS", "tidecast:{sse}:meta"]).as_deref() == Some(":0\r\n")
}

/// A page on a silent channel got the id `0.0`, whatever became of the channel later.
#[tokio::test]
async fn a_page_that_connected_before_the_first_event_misses_nothing_silently() {
    type Loss = fn(&RedisServer);
    let losses: [(&str, Loss); 4] = [
        ("nothing", |_| {}),
        ("emptied", |server| drop(server.command(&["FLUSHALL"]))),
        ("deleted", |_| {}),
        ("expired", |server| assert!(wait_until(|| is_gone(server)))),
    ];
    for (loss, lose) in losses {
        for next_event in [false, true] {
            let server = RedisServer::start(&[]);
            let config = if loss == "expired" { expiring_soon(&server) } else { quick(&server.url()) };
            let node = Node::new(config.clone());
            let id = node.subscribe("sse").await.cursor().to_string();
            for data in ["one", "two"] {
                node.publish("sse", data).await;
            }
            if loss == "deleted" {
                assert!(node.hub.forget(&Channel::default()).await.unwrap());
            }
            drop(node);
            lose(&server);
            // Another hub, which has no state but that in Redis.
            let node = Node::new(config);
            if next_event {
                node.publish("sse", "three").await;
            }
            let mut back = node.hub.subscribe(["sse"], Start::After(id.into())).unwrap();
            if loss != "nothing" {
                let Delivery::Reset(reset) = next(&mut back).await else { panic!("a reset, as it was {loss}") };
                assert_eq!(reset.reason, ResetReason::Restarted, "{loss}");
            } else {
                assert_eq!([next_data(&mut back).await, next_data(&mut back).await], ["one", "two"]);
            }
            if next_event {
                assert_eq!(next_data(&mut back).await, "three", "{loss}");
            }
        }
    }
}

/// Pages on a silent channel move from one hub to another without a reset, as nothing happened.
#[tokio::test]
async fn a_silent_channel_is_the_same_at_every_hub() {
    let server = RedisServer::start(&[]);
    let (one, other) = (Node::on(&server), Node::on(&server));
    let mut stays = one.subscribe("sse").await;
    let mut back = other.hub.subscribe(["sse"], Start::After(stays.cursor().to_string().into())).unwrap();
    let mut late =
        one.hub.subscribe(["sse"], Start::After(other.subscribe("sse").await.cursor().to_string().into())).unwrap();
    one.publish("sse", "first").await;
    for reader in [&mut stays, &mut back, &mut late] {
        assert_eq!(next_data(reader).await, "first");
    }
}

/// A channel's counter expires after a weekend. The next event reset readers that had been connected all the time with
/// `restarted`, although nothing was missing.
#[tokio::test]
async fn the_first_event_after_the_counter_expired_resets_no_connected_reader() {
    let server = RedisServer::start(&[]);
    let (one, other) = (Node::new(expiring_soon(&server)), Node::new(expiring_soon(&server)));
    let mut readers = [one.subscribe("sse").await, other.subscribe("sse").await];
    for data in ["before", "after", "and again"] {
        one.publish("sse", data).await;
        for reader in &mut readers {
            assert_eq!(next_data(reader).await, data);
        }
        until(async || is_gone(&server)).await;
    }
    // So long that the epoch of a silent channel changes again and again.
    sleep(2 * IDLE).await;
    let mut silent = one.subscribe("silent").await;
    sleep(2 * IDLE).await;
    one.publish("silent", "first").await;
    assert_eq!(next_data(&mut silent).await, "first");
}

/// The server's replication id changes with its first replica, without a loss.
#[tokio::test]
async fn the_first_replica_resets_no_connected_reader() {
    let server = RedisServer::start(&["--repl-diskless-sync-delay", "0"]);
    let (one, other) = (Node::on(&server), Node::on(&server));
    let mut readers = [one.subscribe("sse").await, other.subscribe("sse").await];
    one.publish("sse", "before").await;
    for reader in &mut readers {
        assert_eq!(next_data(reader).await, "before");
    }
    let id = readers[0].cursor().to_string();
    let replica = RedisServer::start(&[]);
    let port = server.port.to_string();
    assert_eq!(replica.command(&["REPLICAOF", "127.0.0.1", &port]).as_deref(), Some("+OK\r\n"));
    let is_linked = || replica.command(&["INFO", "replication"]).is_some_and(|info| info.contains("link_status:up"));
    assert!(wait_until(is_linked), "{}", replica.log());
    let after = one.publish("sse", "after").await;
    assert_eq!(after, 2);
    for reader in &mut readers {
        assert_eq!(next_data(reader).await, "after");
    }
    // Nor does it reset a reader that reconnects to a hub that was connected.
    let mut back = one.hub.subscribe(["sse"], Start::After(id.into())).unwrap();
    assert_eq!(next_data(&mut back).await, "after");
}

/// Events that a server may have lost in a restart are reported with the next event, on silent channels as on others:
/// not to all pages at once, and not never.
#[tokio::test]
async fn after_a_restart_the_first_event_of_a_silent_channel_brings_a_reset() {
    let mut server = RedisServer::start(&["--appendonly", "yes"]);
    let node = Node::on(&server);
    let mut reader = node.subscribe("sse").await;
    server.kill();
    until(async || !node.broker.stats().connected).await;
    server.run();
    until(async || node.hub.ready().await.is_ok()).await;
    assert!(timeout(Duration::from_millis(500), reader.next()).await.is_err(), "nothing happened");
    node.publish("sse", "first").await;
    assert!(matches!(next(&mut reader).await, Delivery::Reset(reset) if reset.reason == ResetReason::Restarted));
    assert_eq!(next_data(&mut reader).await, "first");
}

/// Redis was emptied, or a channel's hash deleted, right after the first event of an epoch. A node that looked it up
/// only then took the event for one of another database, as Redis no longer knew its epoch, and its readers were not
/// told.
///
/// A hash that is deleted by hand is reported only if the channel had an event before: otherwise the silent channel's
/// epoch stays the same, and an event of an unknown epoch is far more often one of another database.
#[tokio::test]
async fn an_event_whose_epoch_was_deleted_before_its_lookup_is_not_lost_silently() {
    let wipes: [&[&str]; 2] = [&["FLUSHALL"], &["DEL", "tidecast:{sse}:meta"]];
    for wipe in wipes {
        for (before, is_settled) in [(false, false), (false, true), (true, false), (true, true)] {
            if !before && wipe[0] == "DEL" {
                continue;
            }
            let server = RedisServer::start(&[]);
            // Only an event makes the node look up the channel.
            let (one, other) = (Node::new(quick(&server.url()).compare_interval(Duration::ZERO)), Node::on(&server));
            let mut reader = one.subscribe("sse").await;
            if before {
                other.publish("sse", "before").await;
                assert_eq!(next_data(&mut reader).await, "before");
                server.command(wipe).expect("an answer");
            }
            one.stall(Duration::from_millis(300));
            other.publish("sse", "lost").await;
            server.command(wipe).expect("an answer");
            if is_settled {
                // The channel becomes silent again before the next event.
                until(async || one.broker.stats().elsewhere == 1).await;
            }
            other.publish("sse", "after").await;
            let case = format!("{wipe:?} {before} {is_settled}");
            let Delivery::Reset(reset) = next(&mut reader).await else { panic!("a reset: {case}") };
            assert_eq!(reset.reason, ResetReason::Restarted, "{case}");
            assert_eq!(next_data(&mut reader).await, "after", "{case}");
            other.publish("sse", "next").await;
            assert_eq!(next_data(&mut reader).await, "next", "and no other reset: {case}");
        }
    }
}
