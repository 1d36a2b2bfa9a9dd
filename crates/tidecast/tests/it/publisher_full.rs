//! Events for a subscriber that does not read: the oldest are dropped, its feed ends, or the publish waits.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use tidecast::{Error, Event, Feed, FeedOptions, Publisher, Result, WhenFull};

use crate::support::{Woken, decode, default_with, feed_bytes, now};

fn join(publisher: &Publisher, when_full: WhenFull, events_max: usize, bytes_max: usize) -> Feed {
    publisher.subscribe(["a"], (), default_with!(FeedOptions { when_full, events_max, bytes_max })).expect("a channel")
}

fn say_numbers(publisher: &Publisher, numbers: std::ops::RangeInclusive<u32>) {
    for number in numbers {
        publisher.publish_now(["a"], Event::text(number.to_string())).expect("nobody waits");
    }
}

/// Returns the data of everything that is ready.
fn read(feed: &mut Feed) -> Vec<String> {
    decode(&feed_bytes(feed)).into_iter().map(|message| message.data).collect()
}

const MISSED_TWO: &str = r#"{"missed":2,"reason":"too-slow"}"#;

#[test]
fn the_oldest_are_dropped_and_their_number_is_told_in_their_place() {
    let publisher = Publisher::new();
    let mut feed = join(&publisher, WhenFull::DropOldest, 3, usize::MAX);
    let mut reads = join(&publisher, WhenFull::DropOldest, 3, usize::MAX);
    say_numbers(&publisher, 1..=3);
    assert_eq!(read(&mut reads), ["1", "2", "3"]);
    say_numbers(&publisher, 4..=5);
    let sent = format!("event: stream-reset\ndata: {MISSED_TWO}\n\ndata: 3\n\ndata: 4\n\ndata: 5\n\n");
    assert_eq!(String::from_utf8(feed_bytes(&mut feed)).unwrap(), sent);
    assert_eq!(read(&mut reads), ["4", "5"], "another's slowness is none of its business");

    // Once: the events that follow are complete.
    say_numbers(&publisher, 6..=8);
    assert_eq!(read(&mut feed), ["6", "7", "8"]);
}

#[test]
fn missed_events_are_told_even_if_events_are_read_one_by_one() {
    let publisher = Publisher::new();
    let mut feed = join(&publisher, WhenFull::DropOldest, 1, usize::MAX);
    say_numbers(&publisher, 1..=3);
    let mut next = || now(feed.next()).unwrap().message();
    let reset = next();
    assert_eq!((reset.event_type.as_str(), reset.data.as_str()), (tidecast::STREAM_RESET, MISSED_TWO));
    assert_eq!(next().data, "3");
}

#[test]
fn bytes_are_a_limit_as_well_and_the_newest_event_is_never_dropped() {
    let publisher = Publisher::new();
    // The frame of a digit has nine bytes.
    let mut feed = join(&publisher, WhenFull::DropOldest, usize::MAX, 18);
    say_numbers(&publisher, 1..=4);
    assert_eq!(read(&mut feed), [MISSED_TWO, "3", "4"]);
    let long = "x".repeat(100);
    publisher.publish_now(["a"], Event::text(&long)).unwrap();
    assert_eq!(read(&mut feed), [long]);
    let mut none = join(&publisher, WhenFull::DropOldest, 0, 0);
    say_numbers(&publisher, 1..=3);
    assert_eq!(read(&mut none), [MISSED_TWO, "3"]);
}

#[test]
fn a_feed_that_ends_when_full_does_so_after_its_unread_events() {
    let publisher = Publisher::new();
    let mut feed = join(&publisher, WhenFull::End, 2, usize::MAX);
    let mut reads = join(&publisher, WhenFull::End, 2, usize::MAX);
    say_numbers(&publisher, 1..=2);
    assert_eq!(read(&mut reads), ["1", "2"]);
    assert_eq!(publisher.publish_now(["a"], Event::text("3")).unwrap(), 1);
    assert_eq!(publisher.subscribers(["a"]).unwrap().len(), 1, "it is no longer there");
    assert_eq!(read(&mut feed), ["1", "2"]);
    assert!(now(feed.next()).is_none());
    assert_eq!(read(&mut reads), ["3"]);

    let mut small = join(&publisher, WhenFull::End, usize::MAX, 10);
    publisher.publish_now(["a"], Event::text("larger than its log")).unwrap();
    publisher.publish_now(["a"], Event::text("4")).unwrap();
    assert_eq!(read(&mut small), ["larger than its log"]);
    assert!(now(small.next()).is_none());
}

type Publishing<'a> = Pin<&'a mut dyn Future<Output = Result<usize>>>;

/// A publish in progress, and whether it was woken.
struct Under<'a> {
    publishing: Publishing<'a>,
    woken: Arc<Woken>,
}

impl<'a> Under<'a> {
    /// Starts a publish that has to wait.
    fn way(publishing: Publishing<'a>) -> Self {
        let mut under = Self { publishing, woken: Arc::default() };
        assert_eq!(under.poll(), None);
        assert_eq!(under.woken.count(), 0);
        under
    }

    fn poll(&mut self) -> Option<usize> {
        let waker = Waker::from(self.woken.clone());
        match self.publishing.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(copies) => Some(copies.expect("it is small")),
            Poll::Pending => None,
        }
    }

    /// Checks that it was woken once, and completes it.
    fn done(mut self) -> usize {
        assert_eq!(self.woken.count(), 1);
        self.poll().expect("there is room")
    }
}

#[test]
fn a_publish_waits_for_room_and_meanwhile_nobody_has_the_event() {
    let publisher = Publisher::new();
    let mut other = join(&publisher, WhenFull::DropOldest, 10, usize::MAX);
    let mut feed = join(&publisher, WhenFull::Wait, 2, usize::MAX);
    say_numbers(&publisher, 1..=2);
    let three = pin!(publisher.publish(["a"], Event::text("3")));
    let mut three = Under::way(three);
    assert!(publisher.publish_now(["a"], Event::text("now")).unwrap_err().is_unavailable());
    assert_eq!(read(&mut other), ["1", "2"]);
    assert_eq!(three.poll(), None, "others that read make no room");

    assert_eq!(now(feed.next()).unwrap().message().data, "1");
    assert_eq!(three.done(), 2);
    assert_eq!(read(&mut other), ["3"]);
    assert_eq!(read(&mut feed), ["2", "3"]);
}

#[test]
fn a_dropped_publish_has_published_nothing() {
    let publisher = Publisher::new();
    let mut feed = join(&publisher, WhenFull::Wait, usize::MAX, 9);
    say_numbers(&publisher, 1..=1);
    {
        let dropped = pin!(publisher.publish(["a"], Event::text("dropped")));
        let dropped = Under::way(dropped);
        let with = pin!(publisher.publish_with(["a"], |()| Ok::<_, Error>(Some(Event::text("made")))));
        Under::way(with);
        assert_eq!(read(&mut feed), ["1"]);
        assert_eq!(dropped.woken.count(), 1);
    }
    assert_eq!(read(&mut feed), [""; 0]);
}

#[test]
fn a_waiting_publish_continues_if_the_reader_leaves_or_is_closed() {
    let publisher = Publisher::new();
    let feed = join(&publisher, WhenFull::Wait, 1, usize::MAX);
    say_numbers(&publisher, 1..=1);
    let next = pin!(publisher.publish(["a"], Event::text("x")));
    let next = Under::way(next);
    drop(feed);
    assert_eq!(next.done(), 0);

    let mut feed = join(&publisher, WhenFull::Wait, 1, usize::MAX);
    say_numbers(&publisher, 1..=1);
    let made = pin!(publisher.publish_with(["a"], |()| Ok(Some(Event::text("x")))));
    let made = Under::way(made);
    publisher.close();
    assert_eq!(made.done(), 0);
    assert_eq!(read(&mut feed), ["1"]);
}

#[test]
fn several_waiting_publishes_continue_in_turn() {
    let publisher = Publisher::new();
    let mut feed = join(&publisher, WhenFull::Wait, 1, usize::MAX);
    say_numbers(&publisher, 1..=1);
    let (two, three) =
        (pin!(publisher.publish(["a"], Event::text("2"))), pin!(publisher.publish(["a"], Event::text("3"))));
    let (two, mut three) = (Under::way(two), Under::way(three));
    assert_eq!(read(&mut feed), ["1"]);
    assert_eq!(three.woken.count(), 1);
    assert_eq!(two.done(), 1);
    assert_eq!(three.poll(), None, "another has taken the room");
    assert_eq!(read(&mut feed), ["2"]);
    assert_eq!(three.woken.count(), 2);
    assert_eq!(three.poll(), Some(1));
    assert_eq!(read(&mut feed), ["3"]);
}

/// Room for one copy is room for all copies of one publish. Otherwise they could never be published.
#[test]
fn several_copies_for_a_subscriber_that_is_waited_for_come_at_once() {
    let publisher = Publisher::new();
    let options = default_with!(FeedOptions { when_full: WhenFull::Wait, events_max: 1 });
    let mut feed = publisher.subscribe(["a", "b", "c"], (), options).unwrap();
    assert_eq!(publisher.publish_now(["a", "b", "c"], Event::text("x")).unwrap(), 3);
    assert_eq!(read(&mut feed), ["x", "x", "x"]);
}
