//! Redis dies, freezes and returns: streams stay open, and every acknowledged event is delivered or reported as lost.

use std::{process::Command, sync::Arc, time::Duration};

use tidecast::{Delivery, Event, ResetReason, Start, wire::FirstBlock};
use tidecast_test::{PATIENCE, redis::RedisServer};
use tokio::time::{Instant, sleep, timeout};

use crate::node::{Node, next, next_data, publish_until_accepted, quick, until};

#[tokio::test]
async fn streams_resume_after_a_crash_that_kept_the_data() {
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let (one, other) = (Node::on(&server), Node::on(&server));
    let mut reader = one.subscribe("sse").await;
    other.publish("sse", "before").await;
    assert_eq!(next_data(&mut reader).await, "before");

    server.kill();
    until(async || !one.broker.stats().connected && other.hub.ready().await.is_err()).await;
    let failed = other.hub.publish("sse", Event::text("nobody hears this")).await.expect_err("redis is away");
    assert!(failed.is_unavailable(), "{failed}");
    // A stream that opens meanwhile gets its head and waits.
    let mut late = one.hub.subscribe(["sse"], Start::Live).unwrap();
    assert_eq!(late.first_block(FirstBlock::default()), ": tidecast\nretry: 3000\n");

    server.run();
    let after = publish_until_accepted(&other, "after").await;
    // The server has restarted, so its epoch is new.
    let Delivery::Reset(reset) = next(&mut reader).await else { panic!("a reset") };
    assert_eq!((reset.reason, reset.resumed_at.offset), (ResetReason::Restarted, after - 1));
    assert_eq!(next_data(&mut reader).await, "after");
    until(async || one.hub.ready().await.is_ok()).await;
    let more = other.publish("sse", "more").await;
    assert_eq!(more, after + 1);
    assert_eq!(next_data(&mut reader).await, "more");
    // The late stream goes live at some moment between the return of Redis and the second publish. It is told of the
    // restart only if the node had a position for it before, and it receives each event published after it went live.
    let mut came = Vec::new();
    while came.last().is_none_or(|last| last != "more") {
        came.push(match next(&mut late).await {
            Delivery::Event(delivered) => delivered.frame.message().data,
            Delivery::Reset(reset) => reset.reason.as_str().to_owned(),
        });
    }
    // This once expected no stream to go live between the new epoch and the first publish in it.
    let all = ["restarted", "after", "more"];
    assert!(all.ends_with(&came.iter().map(String::as_str).collect::<Vec<_>>()), "{came:?}");
}

#[tokio::test]
async fn readers_are_told_of_a_crash_that_lost_the_data() {
    let mut server = RedisServer::start(&[]);
    let node = Node::on(&server);
    let mut reader = node.subscribe("sse").await;
    for number in 1..=3 {
        node.publish("sse", number.to_string()).await;
    }
    for number in 1..=3 {
        assert_eq!(next_data(&mut reader).await, number.to_string());
    }
    let cursor = reader.cursor().to_string();
    server.kill();
    server.run();
    // The node sends the reset as soon as it has found the loss, before any new event.
    let Delivery::Reset(reset) = next(&mut reader).await else { panic!("a reset") };
    assert_eq!(reset.reason, ResetReason::Restarted);
    assert_eq!(publish_until_accepted(&node, "new").await, 1);
    assert_eq!(next_data(&mut reader).await, "new");
    // A client that reconnects with an old position gets the same reset.
    let mut back = node.hub.subscribe(["sse"], Start::After(cursor.into())).unwrap();
    let Delivery::Reset(reset) = next(&mut back).await else { panic!("a reset") };
    assert_eq!(reset.reason, ResetReason::Restarted);
    assert_eq!(next_data(&mut back).await, "new");
}

/// An event that was acknowledged just before a crash and did not reach a node is delivered afterwards or reported as
/// lost.
#[tokio::test]
async fn crashes_under_load_lose_nothing_silently() {
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let (one, other) = (Node::on(&server), Arc::new(Node::on(&server)));
    let mut reader = one.subscribe("sse").await;
    let publishing = tokio::spawn({
        let other = other.clone();
        async move {
            let mut accepted = Vec::new();
            for number in 0..600 {
                // A failed publish is not repeated, as it may have been accepted.
                if other.hub.publish("sse", Event::text(number.to_string())).await.is_ok() {
                    accepted.push(number);
                }
                sleep(Duration::from_millis(3)).await;
            }
            let last = publish_until_accepted(&other, "last").await;
            (accepted, last)
        }
    });
    for _ in 0..3 {
        sleep(Duration::from_millis(300)).await;
        server.kill();
        sleep(Duration::from_millis(50)).await;
        server.run();
    }
    let (accepted, _) = timeout(PATIENCE, publishing).await.expect("publishing ends").expect("it does not fail");
    assert!(accepted.len() > 100, "most were accepted: {}", accepted.len());

    let mut seen = Vec::new();
    loop {
        match next(&mut reader).await {
            Delivery::Event(delivered) if delivered.frame.message().data == "last" => break,
            Delivery::Event(delivered) => seen.push(delivered.frame.message().data.parse::<u32>().expect("a number")),
            Delivery::Reset(reset) => assert_eq!(reset.reason, ResetReason::Restarted),
        }
    }
    assert!(seen.is_sorted(), "in order: {seen:?}");
    assert!(seen.windows(2).all(|two| two[0] != two[1]), "once: {seen:?}");
    // `appendfsync always`: Redis keeps everything that it has acknowledged.
    let missed: Vec<_> = accepted.iter().filter(|number| !seen.contains(number)).collect();
    assert!(missed.is_empty(), "acknowledged, and never delivered: {missed:?}");
}

/// A connection that is open and delivers nothing looks like a silent channel, so only the probe finds it. The probe
/// interval is 300 ms and its time-out 700 ms here; the bound is ten times their sum.
#[tokio::test]
async fn a_frozen_connection_is_found_by_the_probe() {
    let server = RedisServer::start(&[]);
    let node = Node::on(&server);
    let mut reader = node.subscribe("sse").await;
    let signal = |name: &str| {
        let status = Command::new("kill").args([name, &server.pid().to_string()]).status();
        assert!(status.expect("kill runs").success());
    };
    signal("-STOP");
    let frozen = Instant::now();
    until(async || !node.broker.stats().connected).await;
    assert!(frozen.elapsed() < Duration::from_secs(10), "found after {:?}", frozen.elapsed());
    assert!(node.hub.ready().await.is_err());
    signal("-CONT");
    until(async || node.broker.stats().connected).await;
    publish_until_accepted(&node, "thawed").await;
    assert_eq!(next_data(&mut reader).await, "thawed");
}

/// If the pub/sub connection is cut while events are published, the gap is filled from the history in order.
#[tokio::test]
async fn events_published_during_a_cut_of_the_pubsub_connection_are_filled_in() {
    let server = RedisServer::start(&[]);
    let (one, other) = (Node::on(&server), Node::on(&server));
    let mut reader = one.subscribe("sse").await;
    for round in 0..5 {
        server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).expect("an answer");
        for number in 0..400 {
            other.publish("sse", format!("{round}:{number}")).await;
        }
        for number in 0..400 {
            assert_eq!(next_data(&mut reader).await, format!("{round}:{number}"));
        }
    }
    assert!(one.broker.stats().reconnects > 0);
}

#[tokio::test]
async fn without_a_history_readers_are_told_of_a_gap() {
    let server = RedisServer::start(&[]);
    let config = quick(&server.url()).history_events_max(0);
    let (one, other) = (Node::new(config.clone()), Node::new(config));
    let mut reader = one.subscribe("sse").await;
    other.publish("sse", "first").await;
    assert_eq!(next_data(&mut reader).await, "first");
    // The commands of the other hub continue: only pub/sub connections are cut.
    server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).expect("an answer");
    for number in 0..50 {
        other.publish("sse", number.to_string()).await;
    }
    until(async || one.broker.stats().connected).await;
    let last = other.publish("sse", "last").await;
    let mut at = 1;
    loop {
        match next(&mut reader).await {
            Delivery::Reset(reset) => at = reset.resumed_at.offset,
            Delivery::Event(delivered) => {
                let offset = delivered.cursor.positions()[0].offset;
                assert_eq!(offset, at + 1, "no hole without a reset");
                at = offset;
            }
        }
        if at == last {
            break;
        }
    }
}

/// After Redis was unavailable for a while, publishing resumed at once, and readers received events up to ten seconds
/// later: the pause of the pub/sub connection had grown to that, and nothing told it that Redis was back.
#[tokio::test]
async fn receiving_resumes_together_with_publishing() {
    let mut server = RedisServer::start(&["--appendonly", "yes"]);
    let (one, other) = (Node::on(&server), Node::on(&server));
    let mut reader = one.subscribe("sse").await;
    server.kill();
    until(async || !one.broker.stats().connected).await;
    assert!(one.hub.ready().await.is_err());
    // Long enough for the pauses between attempts to become their longest.
    sleep(Duration::from_secs(4)).await;
    server.run();
    let back = Instant::now();
    publish_until_accepted(&other, "after").await;
    loop {
        match next(&mut reader).await {
            Delivery::Event(delivered) if delivered.frame.message().data == "after" => break,
            _ => {}
        }
    }
    // The longest pause is a second; the bound is ten times that.
    assert!(back.elapsed() < Duration::from_secs(10), "heard after {:?}", back.elapsed());
    until(async || one.hub.ready().await.is_ok()).await;
}

/// A hub that is not subscribed says so in its response to a publish.
#[tokio::test]
async fn a_publish_says_that_its_readers_receive_it_later() {
    let server = RedisServer::start(&[]);
    let node = Node::on(&server);
    let mut reader = node.subscribe("sse").await;
    let published = node.hub.publish("sse", Event::text("heard")).await.unwrap();
    assert!(!published.delayed);
    // From now on no client may subscribe; publishes are accepted.
    server.command(&["ACL", "SETUSER", "default", "-subscribe", "-psubscribe"]).expect("an answer");
    server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).expect("an answer");
    until(async || !node.broker.stats().connected).await;
    let published = node.hub.publish("sse", Event::text("later")).await.unwrap();
    assert!(published.delayed);
    assert!(node.hub.ready().await.is_err());
    server.command(&["ACL", "SETUSER", "default", "+subscribe", "+psubscribe"]).expect("an answer");
    assert_eq!(next_data(&mut reader).await, "heard");
    assert_eq!(next_data(&mut reader).await, "later");
}
