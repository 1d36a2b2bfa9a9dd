//! A publisher whose subscribers differ: who gets which event, who is there, and how feeds end.

use std::sync::Arc;

use tidecast::{Error, Event, Feed, FeedOptions, Limits, Publisher};

use crate::support::{decode, default_with, feed_bytes, now};

fn join<P: Send + Sync + 'static>(publisher: &Publisher<P>, channels: &[&str], properties: P) -> Feed {
    publisher.subscribe(channels, properties, FeedOptions::default()).expect("a channel")
}

fn say<P>(publisher: &Publisher<P>, channel: &str, data: &str) -> usize {
    publisher.publish_now([channel], Event::text(data)).expect("it is small, and nobody waits")
}

/// Returns the data of everything that is ready.
fn read(feed: &mut Feed) -> Vec<String> {
    decode(&feed_bytes(feed)).into_iter().map(|message| message.data).collect()
}

fn there<P: Copy>(publisher: &Publisher<P>, channels: &[&str]) -> Vec<P> {
    publisher.subscribers(channels).expect("channels").iter().map(|who| *who.properties()).collect()
}

#[test]
fn every_subscriber_of_a_channel_gets_its_events_in_order() {
    let publisher = Publisher::new();
    assert_eq!(say(&publisher, "chat", "to nobody"), 0);
    let mut feeds: Vec<_> = (0..3).map(|_| join(&publisher, &["chat"], ())).collect();
    assert_eq!(say(&publisher, "chat", "one"), 3);
    assert_eq!(now(publisher.publish(["chat"], Event::text("two"))).unwrap(), 3);
    assert_eq!(say(&publisher, "elsewhere", "three"), 0);
    for feed in &mut feeds {
        assert_eq!(read(feed), ["one", "two"]);
        assert_eq!(read(feed), [""; 0]);
    }
}

#[test]
fn a_subscriber_of_several_channels_gets_the_events_of_each() {
    let publisher = Publisher::new();
    let (mut a, mut b, mut both) =
        (join(&publisher, &["a"], ()), join(&publisher, &["b"], ()), join(&publisher, &["a", "b"], ()));
    say(&publisher, "a", "to a");
    say(&publisher, "b", "to b");
    assert_eq!(read(&mut a), ["to a"]);
    assert_eq!(read(&mut b), ["to b"]);
    assert_eq!(read(&mut both), ["to a", "to b"]);
}

#[test]
fn there_is_a_copy_for_each_place_in_the_channels() {
    let publisher = Publisher::new();
    let (mut a, mut both) = (join(&publisher, &["a"], 1), join(&publisher, &["a", "b"], 2));
    let mut twice = join(&publisher, &["c", "c"], 3);
    assert_eq!(publisher.publish_now(["a", "b"], Event::text("x")).unwrap(), 3);
    assert_eq!(read(&mut a), ["x"]);
    assert_eq!(read(&mut both), ["x", "x"]);
    assert_eq!(say(&publisher, "c", "y"), 2);
    assert_eq!(read(&mut twice), ["y", "y"]);
    assert_eq!(there(&publisher, &["b", "a", "c"]), [2, 1, 2, 3, 3]);
    drop(twice);
    assert_eq!(there(&publisher, &["c"]), [0; 0]);
}

#[test]
fn an_event_may_be_made_for_each_subscriber() {
    let publisher = Publisher::new();
    let (mut one, mut two) = (join(&publisher, &["a"], 1), join(&publisher, &["a"], 2));
    let copies = publisher.publish_with_now(["a"], |number: &i32| {
        Ok::<_, Error>((*number != 2).then(|| Event::text(format!("for {number}"))))
    });
    assert_eq!(copies.unwrap(), 1);
    let mut three = join(&publisher, &["a"], 3);
    let doubled = |number: &i32| Ok::<_, Error>(Some(Event::text((number * 2).to_string())));
    assert_eq!(now(publisher.publish_with(["a"], doubled)).unwrap(), 3);
    assert_eq!(read(&mut one), ["for 1", "2"]);
    assert_eq!(read(&mut two), ["4"]);
    assert_eq!(read(&mut three), ["6"]);
}

#[derive(Debug, PartialEq)]
enum Mine {
    Two,
    Tidecast(String),
}

impl From<Error> for Mine {
    fn from(error: Error) -> Self {
        Self::Tidecast(error.to_string())
    }
}

/// The subscribers before the error get their events.
#[test]
fn an_error_reaches_the_publisher_and_keeps_the_event_from_later_subscribers() {
    let publisher = Publisher::new();
    let mut feeds: Vec<_> = (1..=3).map(|number| join(&publisher, &["a"], number)).collect();
    let mut asked = Vec::new();
    let mut until_two = |number: &i32| {
        asked.push(*number);
        if *number == 2 { Err(Mine::Two) } else { Ok(Some(Event::text("x"))) }
    };
    assert_eq!(publisher.publish_with_now(["a"], &mut until_two), Err(Mine::Two));
    assert_eq!(now(publisher.publish_with(["a"], &mut until_two)), Err(Mine::Two));
    assert_eq!(asked, [1, 2, 1, 2]);
    assert_eq!(feeds.iter_mut().map(|feed| read(feed).len()).collect::<Vec<_>>(), [2, 0, 0]);
}

#[test]
fn an_event_that_was_made_may_be_too_large() {
    let limits = default_with!(Limits { event_data_bytes_max: 4 });
    let publisher = Publisher::with_limits(limits);
    let mut feeds: Vec<_> = (4..=5).map(|bytes| join(&publisher, &["a"], bytes)).collect();
    let copies =
        publisher.publish_with_now(["a"], |bytes: &usize| Ok::<_, Error>(Some(Event::text("x".repeat(*bytes)))));
    assert!(copies.unwrap_err().is_too_large());
    assert_eq!(feeds.iter_mut().map(|feed| read(feed).len()).collect::<Vec<_>>(), [1, 0]);
    assert!(publisher.publish_now(["a"], Event::text("five!")).unwrap_err().is_too_large());
}

/// No lock is held while the function runs, so it can't block itself.
#[test]
fn the_function_may_use_the_publisher() {
    let publisher = Publisher::new();
    let mut feed = join(&publisher, &["a"], 1);
    let mut newcomers = Vec::new();
    let copies = publisher.publish_with_now(["a"], |_: &i32| {
        say(&publisher, "a", "from within");
        newcomers.push(join(&publisher, &["a"], 2));
        publisher.unsubscribe(["a"], |number| *number == 2)?;
        assert_eq!(there(&publisher, &["a"]), [1]);
        Ok::<_, Error>(Some(Event::text("made")))
    });
    assert_eq!(copies.unwrap(), 1);
    assert_eq!(read(&mut feed), ["from within", "made"]);
    assert_eq!(newcomers.iter_mut().map(|feed| read(feed).len()).sum::<usize>(), 0);
}

#[test]
fn initial_events_come_first_and_to_the_new_subscriber_alone() {
    let publisher = Publisher::new();
    let mut before = join(&publisher, &["a"], ());
    let initial = vec![Event::text("one"), Event::text("two").with_type("state").unwrap()];
    let options = default_with!(FeedOptions { initial, events_max: 1, bytes_max: 0 });
    let mut feed = publisher.subscribe(["a"], (), options.clone()).unwrap();
    say(&publisher, "a", "three");
    assert_eq!((feed.waiting(), before.waiting()), (3, 1));
    assert_eq!(read(&mut feed), ["one", "two", "three"]);
    assert_eq!(feed.waiting(), 0);
    assert_eq!(read(&mut before), ["three"]);

    let mut nowhere = publisher.subscribe([""; 0], (), options).unwrap();
    let types: Vec<_> = std::iter::from_fn(|| Some(now(nowhere.next())?.message().event_type)).take(2).collect();
    assert_eq!(types, ["message", "state"]);
    assert_eq!(read(&mut nowhere), [""; 0]);
}

#[test]
fn invalid_names_and_events_are_refused() {
    let publisher = Publisher::<()>::new();
    let subscribe =
        |channel: &str, initial: Vec<Event>| publisher.subscribe([channel], (), default_with!(FeedOptions { initial }));
    assert!(subscribe("a\nb", Vec::new()).unwrap_err().is_invalid());
    assert!(subscribe("a", vec![Event::text("x".repeat(1024 * 1024 + 1))]).unwrap_err().is_too_large());
    assert!(subscribe("a", vec![Event::text("x".repeat(1024 * 1024)); 8]).unwrap_err().is_too_large());
    assert!(publisher.publish_now([""], Event::text("x")).unwrap_err().is_invalid());
    assert!(publisher.publish_with_now([""], |()| Ok::<_, Error>(None)).unwrap_err().is_invalid());
    assert!(publisher.subscribers([""]).unwrap_err().is_invalid());
    assert!(publisher.unsubscribe([""], |()| true).unwrap_err().is_invalid());
    assert!(there(&publisher, &["a"]).is_empty(), "who was refused is not there");
}

#[test]
fn on_the_wire_an_event_is_as_a_hub_sends_it_without_a_position() {
    let publisher = Publisher::new();
    let mut feed = join(&publisher, &["a"], ());
    say(&publisher, "a", " two\r\nlines\n");
    let event = Event::text("").with_type("note").unwrap().with_id("own").unwrap();
    publisher.publish_now(["a"], event.with_retry(std::time::Duration::from_secs(1)).unwrap()).unwrap();
    let sent = "data:  two\ndata: lines\ndata: \n\nevent: note\nretry: 1000\ndata: \nid: own\n\n";
    assert_eq!(String::from_utf8(feed_bytes(&mut feed)).unwrap(), sent);
    say(&publisher, "a", "x");
    let frame = now(feed.next()).unwrap();
    assert_eq!((&frame.without_id()[..], &frame.bytes()[..]), (&b"data: x\n"[..], &b"data: x\n\n"[..]));
}

#[test]
fn a_subscriber_that_has_left_is_removed_with_its_properties() {
    let publisher = Publisher::new();
    let known = Arc::new("ada");
    let feed = join(&publisher, &["a", "b"], known.clone());
    let stays = join(&publisher, &["a"], Arc::new("bob"));
    assert_eq!(publisher.subscribers(["a", "b"]).unwrap().len(), 3);
    drop(feed);
    assert_eq!(Arc::strong_count(&known), 1);
    assert_eq!(publisher.subscribers(["a", "b"]).unwrap().len(), 1);
    assert_eq!(say(&publisher, "a", "x") + say(&publisher, "b", "x"), 1);
    drop(stays);
    assert!(format!("{publisher:?}").contains("channels: 0, subscribers: 0"), "{publisher:?}");
}

/// Properties are the program's own, and may do anything when they are dropped.
struct Farewell(Publisher<Option<Self>>);

impl Drop for Farewell {
    fn drop(&mut self) {
        say(&self.0, "a", "goodbye");
    }
}

#[test]
fn properties_may_use_the_publisher_when_they_are_dropped() {
    let publisher = Publisher::new();
    let mut stays = join(&publisher, &["a"], None);
    drop(join(&publisher, &["a"], Some(Farewell(publisher.clone()))));
    assert_eq!(read(&mut stays), ["goodbye"]);
    let goes = join(&publisher, &["a"], Some(Farewell(publisher.clone())));
    publisher.unsubscribe(["a"], Option::is_some).unwrap();
    publisher.close();
    drop(goes);
}

#[test]
fn an_unsubscribed_subscriber_gets_no_more_and_its_feed_does_not_end() {
    let publisher = Publisher::new();
    let mut feeds: Vec<_> = [1, 2, 1].into_iter().map(|number| join(&publisher, &["a", "b"], number)).collect();
    say(&publisher, "a", "before");
    assert_eq!(publisher.unsubscribe(["a"], |number| *number == 1).unwrap(), 2);
    assert_eq!(there(&publisher, &["a"]), [2]);
    say(&publisher, "a", "after");
    say(&publisher, "b", "still here");
    assert_eq!(read(&mut feeds[0]), ["before", "still here"]);
    assert_eq!(read(&mut feeds[1]), ["before", "after", "still here"]);
    assert_eq!(read(&mut feeds[2]), ["before", "still here"]);

    assert_eq!(publisher.unsubscribe(["a", "b"], |_| true).unwrap(), 4);
    assert_eq!(publisher.unsubscribe(["a", "b"], |_| true).unwrap(), 0);
    assert_eq!(say(&publisher, "a", "x") + say(&publisher, "b", "x"), 0);
    // Otherwise a server would wait for the end of such a stream for ever.
    publisher.close();
    for feed in &mut feeds {
        assert!(now(feed.next()).is_none());
    }
}

#[test]
fn closing_ends_the_feeds_after_their_events_and_the_publisher_continues() {
    let publisher = Publisher::new();
    let options = default_with!(FeedOptions { initial: vec![Event::text("hello")] });
    let mut feed = publisher.subscribe(["a"], 1, options).unwrap();
    say(&publisher, "a", "last words");
    publisher.close();
    assert_eq!(say(&publisher, "a", "too late"), 0);
    assert_eq!(there(&publisher, &["a"]), [0; 0]);
    let mut later = join(&publisher, &["a"], 2);
    assert_eq!(say(&publisher, "a", "anew"), 1);
    assert_eq!(read(&mut feed), ["hello", "last words"]);
    assert!(now(feed.next()).is_none());
    assert!(now(feed.next()).is_none(), "and stays so");
    drop(feed);
    assert_eq!(read(&mut later), ["anew"]);
}

/// A server that stops waits for every stream, even for one that begins as it is closed.
#[test]
fn closed_for_good_it_ends_every_later_feed() {
    let publisher = Publisher::new();
    let mut feed = join(&publisher, &["a"], 1);
    say(&publisher, "a", "last words");
    publisher.close_for_good();
    assert_eq!(read(&mut feed), ["last words"]);
    assert!(now(feed.next()).is_none());
    let options = default_with!(FeedOptions { initial: vec![Event::text("hello")] });
    let mut later = publisher.subscribe(["a"], 2, options).unwrap();
    assert_eq!(say(&publisher, "a", "to nobody"), 0);
    assert_eq!(read(&mut later), ["hello"]);
    assert!(now(later.next()).is_none());
}

#[test]
fn the_feeds_end_with_the_last_handle() {
    let publisher = Publisher::new();
    let mut feed = join(&publisher, &["a"], ());
    let clone = publisher.clone();
    drop(publisher);
    say(&clone, "a", "last words");
    drop(clone);
    assert_eq!(read(&mut feed), ["last words"]);
    assert!(now(feed.next()).is_none());
}

#[test]
fn the_number_of_unread_events_is_known() {
    let publisher = Publisher::new();
    let mut feed = join(&publisher, &["a"], "ada");
    let who = publisher.subscribers(["a"]).unwrap().remove(0);
    say(&publisher, "a", "x");
    say(&publisher, "a", "x");
    assert_eq!(who.clone().waiting(), 2);
    now(feed.next()).unwrap();
    assert_eq!(who.waiting(), 1);
    drop(feed);
    assert_eq!(who.waiting(), 0);
    assert_eq!(format!("{who:?}"), r#"Subscriber { properties: "ada", .. }"#);
}
