//! Models of the places where a publish and the reader of a feed meet; see [`crate::model`].

use loom::{future::block_on, thread};

use crate::{Event, Feed, FeedOptions, Publisher, WhenFull, model::model};

fn join(publisher: &Publisher, when_full: WhenFull) -> Feed {
    let options = FeedOptions { when_full, events_max: 1, ..FeedOptions::default() };
    publisher.subscribe(["a"], (), options).expect("a channel")
}

fn next(feed: &mut Feed) -> Option<String> {
    block_on(feed.next()).map(|frame| frame.message().data)
}

#[test]
fn an_event_that_is_published_while_the_reader_of_a_feed_starts_to_wait_wakes_it() {
    model(4, || {
        let publisher = Publisher::new();
        let mut feed = join(&publisher, WhenFull::DropOldest);
        let other = {
            let publisher = publisher.clone();
            thread::spawn(move || publisher.publish_now(["a"], Event::text("x")).expect("nobody waits"))
        };
        assert_eq!(next(&mut feed).as_deref(), Some("x"));
        assert_eq!(other.join().expect("the thread does not panic"), 1);
    });
}

/// The reader makes room while the publish starts to wait for it.
#[test]
fn a_publish_that_waits_for_room_is_woken_by_a_read() {
    model(3, || {
        let publisher = Publisher::new();
        let mut feed = join(&publisher, WhenFull::Wait);
        publisher.publish_now(["a"], Event::text("1")).expect("there is room");
        let other = {
            let publisher = publisher.clone();
            thread::spawn(move || block_on(publisher.publish(["a"], Event::text("2"))).expect("it is small"))
        };
        assert_eq!(next(&mut feed).as_deref(), Some("1"));
        assert_eq!(next(&mut feed).as_deref(), Some("2"));
        assert_eq!(other.join().expect("the thread does not panic"), 1);
    });
}

#[test]
fn a_publish_that_waits_for_room_is_woken_by_the_reader_leaving() {
    model(3, || {
        let publisher = Publisher::new();
        let feed = join(&publisher, WhenFull::Wait);
        publisher.publish_now(["a"], Event::text("1")).expect("there is room");
        let other = {
            let publisher = publisher.clone();
            thread::spawn(move || block_on(publisher.publish(["a"], Event::text("2"))).expect("it is small"))
        };
        drop(feed);
        assert_eq!(other.join().expect("the thread does not panic"), 0);
    });
}

/// The event is read before the end, or was not accepted.
#[test]
fn a_feed_ends_after_an_event_that_was_accepted_while_the_publisher_closes() {
    model(3, || {
        let publisher = Publisher::new();
        let mut feed = join(&publisher, WhenFull::DropOldest);
        let other = {
            let publisher = publisher.clone();
            thread::spawn(move || publisher.publish_now(["a"], Event::text("x")).expect("nobody waits"))
        };
        let closer = thread::spawn(move || publisher.close());
        let mut read = 0;
        while next(&mut feed).is_some() {
            read += 1;
        }
        assert_eq!(read, other.join().expect("the thread does not panic"));
        closer.join().expect("the thread does not panic");
    });
}

/// Without the order lock, one subscriber could get the two events in one order, and another in the other.
#[test]
fn two_events_come_in_the_same_order_to_every_subscriber() {
    model(2, || {
        let publisher = Publisher::new();
        let options = || FeedOptions { events_max: 2, ..FeedOptions::default() };
        let mut feeds = [(); 2].map(|()| publisher.subscribe(["a"], (), options()).expect("a channel"));
        let other = {
            let publisher = publisher.clone();
            thread::spawn(move || publisher.publish_now(["a"], Event::text("x")).expect("nobody waits"))
        };
        publisher.publish_now(["a"], Event::text("y")).expect("nobody waits");
        other.join().expect("the thread does not panic");
        let [one, two] = feeds.each_mut().map(|feed| [next(feed), next(feed)]);
        assert_eq!(one, two);
    });
}
