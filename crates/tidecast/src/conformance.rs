//! The contract of every broker, as test functions.
//!
//! Each function tests one rule. It takes a broker that serves no hub yet, builds the hub, and panics if the broker breaks
//! the rule. It uses channels that were never used before, so brokers may share a server. [`all`] runs every function.
//!
//! The functions need no runtime of their own: they await the broker and their subscriptions, and nothing else. If a broker
//! drops an event, the function waits for ever, so run it under a time limit. It may be dropped at any point.
//!
//! # Examples
//!
//! ```
//! use std::sync::Arc;
//! use tidecast::{broker::MemoryBroker, conformance};
//!
//! # fn block_on<T>(future: impl Future<Output = T>) -> T {
//! #     let mut future = std::pin::pin!(future);
//! #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
//! #     let std::task::Poll::Ready(done) = future.as_mut().poll(&mut context) else { panic!("ready") };
//! #     done
//! # }
//! block_on(conformance::all(async || Arc::new(MemoryBroker::new())));
//! ```

mod rig;

use std::{collections::BTreeSet, future::poll_fn, sync::Arc, task::Poll, time::Duration};

use self::rig::{Rig, both, next_event, publication, until, unused_channel};
use crate::{
    Delivery, Epoch, Event, Position, Published, ResetReason, Start,
    broker::{Broker, ControlMessage, Head, Since},
};

/// Runs every rule, each with a broker of its own.
pub async fn all<B: Broker>(make: impl AsyncFn() -> Arc<B>) {
    is_ready(make().await).await;
    positions_grow_by_one(make().await).await;
    events_arrive_once_and_in_order(make().await).await;
    nothing_is_missed_once_subscribed(make().await).await;
    publishers_at_once_share_one_order(make().await).await;
    channels_are_apart(make().await).await;
    a_key_answers_as_the_first_time(make().await).await;
    a_key_counts_in_its_channel(make().await).await;
    a_key_used_twice_at_once_is_one_event(make().await).await;
    a_publisher_that_stalls_holds_up_no_other_channel(make().await).await;
    history_is_what_was_published(make().await).await;
    history_says_whether_it_is_complete(make().await).await;
    history_goes_on_page_by_page(make().await).await;
    a_resumed_subscription_continues(make().await).await;
    a_position_that_was_answered_resumes(make().await).await;
    forgetting_starts_over(make().await).await;
    forgetting_tells_its_readers(make().await).await;
    a_released_channel_loses_nothing(make().await).await;
    control_messages_reach_every_node([make().await as Arc<dyn Broker>]).await;
    declarations_hold(make().await).await;
}

/// Tests that a broker that can be reached is ready.
pub async fn is_ready(broker: Arc<dyn Broker>) {
    let rig = Rig::new(broker);
    rig.broker.ready().await.expect("the broker is ready");
    rig.hub.ready().await.expect("the hub is ready");
}

/// Tests that the offsets of a channel are 1, 2, 3 in one epoch, and that an event's id is its position unless it has its
/// own.
pub async fn positions_grow_by_one(broker: Arc<dyn Broker>) {
    let rig = Rig::new(broker);
    let channel = unused_channel();
    let mut epoch = None;
    for offset in 1..=20 {
        let published = rig.publish(&channel, "x").await;
        assert_eq!(published.position.offset, offset);
        assert_eq!(*epoch.get_or_insert(published.position.epoch), published.position.epoch);
        assert_eq!(published.id, published.position.to_string());
        assert_eq!(published.channel, channel);
        assert!(!published.repeated);
    }
    let event = Event::text("x").with_id("order 17").expect("an id");
    let published = rig.hub.publish(&channel, event).await.expect("it is published");
    assert_eq!((published.id.as_str(), published.position.offset), ("order 17", 21));
}

/// Tests that each reader gets each event once, in order, with every field.
pub async fn events_arrive_once_and_in_order(broker: Arc<dyn Broker>) {
    let rig = Rig::new(broker);
    let channel = unused_channel();
    let mut readers = [rig.subscribe(&channel).await, rig.subscribe(&channel).await];
    for number in 0..100 {
        let event = Event::text(format!("{number}\r\nsecond line "));
        let event = event.with_type("counted").and_then(|event| event.with_id(format!("id {number}"))).expect("valid");
        let published = rig.hub.publish(&channel, event).await.expect("it is published");
        assert_eq!(published.receivers, 2);
    }
    for reader in &mut readers {
        for number in 0..100 {
            let delivered = next_event(reader).await;
            let message = delivered.frame.message();
            assert_eq!(message.data, format!("{number}\nsecond line "));
            assert_eq!(message.event_type, "counted");
            assert_eq!(message.last_event_id, format!("id {number}"));
            assert_eq!(delivered.cursor.positions()[0].offset, number + 1);
        }
    }
    // An event that came twice would come before this one.
    rig.publish(&channel, "last").await;
    for reader in &mut readers {
        assert_eq!(next_event(reader).await.frame.message().data, "last");
    }
}

/// Tests that a subscription gets every event after the id of its first block, even those published while it starts.
pub async fn nothing_is_missed_once_subscribed(broker: Arc<dyn Broker>) {
    let rig = Rig::new(broker);
    let channel = unused_channel();
    for _ in 0..10 {
        let publishing = async {
            let mut last = Position::START;
            for _ in 0..20 {
                last = rig.publish(&channel, "x").await.position;
            }
            last
        };
        let (last, mut reader) = both(publishing, rig.subscribe(&channel)).await;
        let mut at = reader.cursor().positions()[0];
        while at != last {
            let next = next_event(&mut reader).await.cursor.positions()[0];
            // Before its first event, a channel may have no epoch or another one.
            let epoch = if at.offset == 0 { next.epoch } else { at.epoch };
            assert_eq!(next, Position { epoch, offset: at.offset + 1 });
            at = next;
        }
    }
}

/// Tests that events which are published at once get different positions, and that every reader gets them in the order of
/// their positions.
pub async fn publishers_at_once_share_one_order(broker: Arc<dyn Broker>) {
    let rig = Rig::new(broker);
    let channel = unused_channel();
    let mut reader = rig.subscribe(&channel).await;
    let publishing = async |name: &str| {
        let mut published = Vec::new();
        for number in 0..50 {
            let data = format!("{name}{number}");
            published.push((rig.publish(&channel, &data).await.position.offset, data));
        }
        published
    };
    let (mut all, theirs) = both(publishing("a"), publishing("b")).await;
    all.extend(theirs);
    all.sort_unstable();
    for (at, (offset, data)) in (1..).zip(all) {
        assert_eq!(offset, at);
        let delivered = next_event(&mut reader).await;
        assert_eq!(delivered.cursor.positions()[0].offset, offset);
        assert_eq!(delivered.frame.message().data, data);
    }
}

/// Tests that a channel has its own positions, and that its events reach only its readers.
pub async fn channels_are_apart(broker: Arc<dyn Broker>) {
    let rig = Rig::new(broker);
    let (one, other) = (unused_channel(), unused_channel());
    let mut reader = rig.subscribe(&one).await;
    rig.publish(&other, "not for you").await;
    let published = rig.publish(&one, "for you").await;
    assert_eq!((published.position.offset, published.receivers), (1, 1));
    assert_eq!(rig.publish(&other, "x").await.receivers, 0);
    assert_eq!(next_event(&mut reader).await.frame.message().data, "for you");
}

/// Tests that a repeated key in a channel returns the first result, with its receivers, reports whether the event differs,
/// and delivers nothing.
pub async fn a_key_answers_as_the_first_time(broker: Arc<dyn Broker>) {
    let rig = Rig::new(broker);
    let channel = unused_channel();
    let mut reader = rig.subscribe(&channel).await;
    let first = rig.publish_once(&channel, "first", "key").await;
    assert!(!first.repeated);
    let _another = rig.subscribe(&channel).await;
    for _ in 0..9 {
        let again = rig.publish_once(&channel, "not this", "key").await;
        assert_eq!(again, Published { repeated: true, differs: true, ..first.clone() });
    }
    let again = rig.publish_once(&channel, "first", "key").await;
    assert_eq!(again, Published { repeated: true, ..first.clone() });
    let next = rig.publish_once(&channel, "second", "another key").await;
    assert_eq!(next.position.offset, first.position.offset + 1);
    assert_eq!(next_event(&mut reader).await.frame.message().data, "first");
    assert_eq!(next_event(&mut reader).await.frame.message().data, "second");
}

/// Tests that a key in another channel is another key.
pub async fn a_key_counts_in_its_channel(broker: Arc<dyn Broker>) {
    let rig = Rig::new(broker);
    for channel in [unused_channel(), unused_channel()] {
        let published = rig.publish_once(&channel, "x", "key").await;
        assert!(!published.repeated);
        assert_eq!(published.channel, channel);
    }
}

/// Tests that of two concurrent publishes with one key the second waits for the first, and that both return the same
/// position.
pub async fn a_key_used_twice_at_once_is_one_event(broker: Arc<dyn Broker>) {
    let rig = Rig::new(broker);
    let channel = unused_channel();
    let (one, other) = both(rig.publish_once(&channel, "a", "key"), rig.publish_once(&channel, "b", "key")).await;
    assert_eq!(one.position, other.position);
    assert_eq!(u8::from(one.repeated) + u8::from(other.repeated), 1);
    assert_eq!(rig.publish(&channel, "x").await.position.offset, one.position.offset + 1);
}

/// Tests that a publish that is no longer polled, or is dropped, delays no publish to another channel.
pub async fn a_publisher_that_stalls_holds_up_no_other_channel(broker: Arc<dyn Broker>) {
    let rig = Rig::new(broker);
    let stalled_channel = unused_channel();
    let mut stalled = rig.broker.publish(publication(&stalled_channel, "x", Some("key")));
    let begun = poll_fn(|context| Poll::Ready(stalled.as_mut().poll(context))).await;
    for offset in 1..=10 {
        assert_eq!(rig.publish(&unused_channel(), "x").await.position.offset, 1, "channel {offset}");
    }
    drop(stalled);
    // It was accepted or not. Under its key it is safe to repeat.
    let repeated = rig.publish_once(&stalled_channel, "x", "key").await;
    if let Poll::Ready(published) = begun {
        assert_eq!(repeated.position, published.expect("it is published").position);
    }
    assert_eq!(rig.publish(&stalled_channel, "x").await.position.offset, repeated.position.offset + 1);
}

/// Tests that the history returns the newest events, or those after a position, oldest first and no more than requested.
pub async fn history_is_what_was_published(broker: Arc<dyn Broker>) {
    let rig = Rig::new(broker);
    let channel = unused_channel();
    let mut positions = Vec::new();
    for number in 0..10 {
        let event = Event::text(format!("{number}\rx")).with_type("counted").expect("valid");
        positions.push(rig.hub.publish(&channel, event).await.expect("it is published").position);
    }
    let offsets = async |since, limit| -> Vec<u64> {
        let history = rig.broker.history(&channel, since, limit).await.expect("the broker answers");
        assert!(history.complete);
        history.events.iter().map(|event| event.position.offset).collect()
    };
    assert_eq!(offsets(Since::Newest, 3).await, [8, 9, 10]);
    assert_eq!(offsets(Since::Newest, 1).await, [10]);
    assert_eq!(offsets(Since::Newest, 100).await, (1..=10).collect::<Vec<_>>());
    assert_eq!(offsets(Since::After(positions[4]), 3).await, [6, 7, 8]);
    assert_eq!(offsets(Since::After(positions[8]), 100).await, [10]);
    assert_eq!(offsets(Since::After(positions[9]), 100).await, [0; 0]);

    let newest = rig.hub.newest(&channel, 1).await.expect("the broker answers");
    let [event] = &newest.events[..] else { panic!("one event, not {newest:?}") };
    assert_eq!((event.event_type(), &*event.data()), ("counted", "9\nx"));
    assert_eq!(event.id(), positions[9].to_string());
}

/// Tests that the history after a position of another epoch, or one that was never given out, is not complete, and that the
/// history of an unused channel is empty.
pub async fn history_says_whether_it_is_complete(broker: Arc<dyn Broker>) {
    let rig = Rig::new(broker);
    let channel = unused_channel();
    let unused = rig.broker.history(&channel, Since::Newest, 10).await.expect("the broker answers");
    assert!(unused.events.is_empty());
    let position = rig.publish(&channel, "x").await.position;
    let elsewhere = Position { epoch: Epoch::random(), ..position };
    let ahead = Position { offset: 1_000_000, ..position };
    for lost in [elsewhere, ahead] {
        let history = rig.broker.history(&channel, Since::After(lost), 10).await.expect("the broker answers");
        assert!(!history.complete, "after {lost}");
    }
}

/// Tests that a history that is read page by page has every event once.
pub async fn history_goes_on_page_by_page(broker: Arc<dyn Broker>) {
    let rig = Rig::new(broker);
    let channel = unused_channel();
    let first = rig.publish(&channel, "first").await.position;
    for number in 0..20 {
        rig.publish(&channel, &number.to_string()).await;
    }
    for limit in [1, 3, 20, 256] {
        let mut at = first;
        while at.offset < first.offset + 20 {
            let page = rig.broker.backfill(&channel, Since::After(at), limit).await.expect("the broker answers");
            assert!(page.complete && page.events.len() <= limit && !page.events.is_empty(), "after {at}: {page:?}");
            for event in page.events {
                assert_eq!(event.position, Position { offset: at.offset + 1, ..at });
                assert_eq!(event.data(), (at.offset - first.offset).to_string());
                at = event.position;
            }
        }
    }
}

/// Tests that a resumed subscription gets the events that it missed, then the new ones, without a gap.
pub async fn a_resumed_subscription_continues(broker: Arc<dyn Broker>) {
    let rig = Rig::new(broker);
    let channel = unused_channel();
    let mut reader = rig.subscribe(&channel).await;
    rig.publish(&channel, "seen").await;
    let cursor = next_event(&mut reader).await.cursor;
    drop(reader);
    for number in 0..10 {
        rig.publish(&channel, &number.to_string()).await;
    }
    let start = Start::After(cursor.to_string().into());
    let mut reader = rig.hub.subscribe([channel.clone()], start).expect("the hub is open");
    for number in 10..20 {
        rig.publish(&channel, &number.to_string()).await;
    }
    for number in 0..20 {
        assert_eq!(next_event(&mut reader).await.frame.message().data, number.to_string());
    }
}

/// Tests that a reader can resume from a published position at once, even if this node has not received the event yet, and
/// even from that of the channel's first event.
pub async fn a_position_that_was_answered_resumes(broker: Arc<dyn Broker>) {
    let rig = Rig::new(broker);
    for _ in 0..10 {
        let channel = unused_channel();
        let before = rig.publish(&channel, "before").await;
        let start = Start::After(before.position.to_string().into());
        let mut reader = rig.hub.subscribe([channel.clone()], start).expect("the hub is open");
        rig.publish(&channel, "after").await;
        assert_eq!(next_event(&mut reader).await.frame.message().data, "after");
    }
}

/// Tests that a deleted channel starts over at offset 1, in another epoch, and has no history.
pub async fn forgetting_starts_over(broker: Arc<dyn Broker>) {
    let rig = Rig::new(broker);
    let channel = unused_channel();
    assert!(!rig.hub.forget(&channel).await.expect("the broker answers"), "nothing was known");
    rig.publish(&channel, "x").await;
    let before = rig.publish(&channel, "x").await.position;
    assert!(rig.hub.forget(&channel).await.expect("the broker answers"));
    let history = rig.broker.history(&channel, Since::Newest, 10).await.expect("the broker answers");
    assert!(history.events.is_empty());
    let after = rig.publish(&channel, "x").await.position;
    assert_eq!(after.offset, 1);
    assert_ne!(after.epoch, before.epoch);
}

/// Tests that a reader of a channel that is deleted is told `restarted`, and continues with the events after that.
pub async fn forgetting_tells_its_readers(broker: Arc<dyn Broker>) {
    let rig = Rig::new(broker);
    let channel = unused_channel();
    let mut reader = rig.subscribe(&channel).await;
    rig.publish(&channel, "before").await;
    assert_eq!(next_event(&mut reader).await.frame.message().data, "before");
    assert!(rig.hub.forget(&channel).await.expect("the broker answers"));
    let Some(Delivery::Reset(reset)) = reader.next().await else { panic!("a reset") };
    assert_eq!((reset.reason, reset.resumed_at.offset), (ResetReason::Restarted, 0));
    let published = rig.publish(&channel, "after").await;
    assert_eq!(published.position, Position { offset: 1, ..reset.resumed_at });
    assert_eq!(next_event(&mut reader).await.frame.message().data, "after");
}

/// Tests that a reader misses no event that was published while the channel had no reader for a while.
pub async fn a_released_channel_loses_nothing(broker: Arc<dyn Broker>) {
    let rig = Rig::new(broker);
    let channel = unused_channel();
    let mut cursor = rig.subscribe(&channel).await.cursor();
    for round in 0..5 {
        rig.clock.advance(Duration::from_secs(2));
        rig.hub.sweep();
        rig.publish(&channel, &format!("{round} while nobody reads")).await;
        let start = Start::After(cursor.to_string().into());
        let mut reader = rig.hub.subscribe([channel.clone()], start).expect("the hub is open");
        // A late release must not cut off the reader that has come since.
        rig.broker.release(&channel);
        rig.publish(&channel, &format!("{round} live")).await;
        assert_eq!(next_event(&mut reader).await.frame.message().data, format!("{round} while nobody reads"));
        let live = next_event(&mut reader).await;
        assert_eq!(live.frame.message().data, format!("{round} live"));
        cursor = live.cursor;
    }
}

/// Tests that a control message reaches every connected node, including the sender. The brokers are those of distinct
/// nodes.
///
/// The message says that a channel was deleted, and each node has a log of it that no broker keeps up to date.
pub async fn control_messages_reach_every_node(brokers: impl IntoIterator<Item = Arc<dyn Broker>>) {
    let rigs: Vec<Rig> = brokers.into_iter().map(Rig::new).collect();
    for sender in &rigs {
        let channel = unused_channel();
        for rig in &rigs {
            rig.broker.ready().await.expect("the node is connected");
            let head = Head::new(Position { epoch: Epoch::random(), offset: 1 });
            rig.hub.deliveries().open_at(&channel, &head);
            assert!(rig.hub.channel(&channel).is_some());
        }
        let message = ControlMessage::Forgotten(channel.clone()).to_bytes();
        sender.broker.send_control(&message).await.expect("it is sent");
        for rig in &rigs {
            until(|| rig.hub.channel(&channel).is_none()).await;
        }
    }
}

/// Tests that the metrics are the same at every call and have distinct names, and that publishing without waiting is
/// possible at every call or at none.
pub async fn declarations_hold(broker: Arc<dyn Broker>) {
    let rig = Rig::new(broker);
    let names = || rig.broker.metrics().iter().map(|metric| metric.name).collect::<Vec<_>>();
    let before = names();
    assert_eq!(BTreeSet::from_iter(&before).len(), before.len(), "the names are distinct: {before:?}");
    let publish_now = || rig.broker.publish_now(&publication(&unused_channel(), "x", None)).is_some();
    assert_eq!(publish_now(), publish_now(), "each publish may have to wait, or none");
    rig.publish(&unused_channel(), "x").await;
    assert_eq!(names(), before);
}
