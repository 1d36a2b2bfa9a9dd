//! How a subscriber of a publisher begins, and the limits of its feed.

use crate::{
    Event,
    limits::{FEED_BYTES_DEFAULT, FEED_EVENTS_DEFAULT},
};

/// The beginning and the limits of a [`Feed`](crate::Feed).
///
/// # Examples
///
/// ```
/// use tidecast::{Event, FeedOptions, WhenFull};
///
/// let mut options = FeedOptions::default();
/// options.initial = vec![Event::text("Welcome!")];
/// options.when_full = WhenFull::End;
/// assert_eq!(options.events_max, 1_000);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FeedOptions {
    /// Events that the subscriber gets before any published one, at most 8 MiB together. Default: none.
    ///
    /// They do not count towards the limits below, and none of them is dropped.
    pub initial: Vec<Event>,

    /// Most unread events. Default 1,000. 0 is taken as 1.
    pub events_max: usize,

    /// Most bytes of unread frames, including those shared with other subscribers. Default 1 MiB. A single event may be
    /// larger.
    pub bytes_max: usize,

    /// The policy when either limit is reached. Default [`WhenFull::DropOldest`].
    pub when_full: WhenFull,
}

/// The policy of a full feed when another event is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WhenFull {
    /// The oldest event is dropped.
    ///
    /// In its place the subscriber gets the number of events that it missed, as an event of type `stream-reset` with data
    /// `{"missed":3,"reason":"too-slow"}`. The newest event is never dropped.
    #[default]
    DropOldest,

    /// The feed ends after its unread events. A browser then reconnects, and gets its initial events anew.
    End,

    /// The publish waits until the feed has room, and no other subscriber gets the event before. For a reader in the same
    /// program that must not miss any event.
    ///
    /// The wait has no limit but the publisher's own. A publish with several copies for the feed waits for the room of one.
    Wait,
}

impl Default for FeedOptions {
    fn default() -> Self {
        Self {
            initial: Vec::new(),
            events_max: FEED_EVENTS_DEFAULT,
            bytes_max: FEED_BYTES_DEFAULT,
            when_full: WhenFull::default(),
        }
    }
}
