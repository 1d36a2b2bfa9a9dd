//! The limits of the engine: their names, their defaults, and what happens when they are reached.
//!
//! Limits that the standard or the wire fix are constants. Limits that an operator may change are fields of [`Limits`]. No
//! other file states such a number.

use std::time::Duration;

use crate::{Error, Event, Result, wire};

/// Longest channel name, in bytes of UTF-8. A longer name is an error.
pub const CHANNEL_BYTES_MAX: usize = 255;

/// Longest event type, in bytes of UTF-8. A longer type is an error.
pub const EVENT_TYPE_BYTES_MAX: usize = 255;

/// Longest event id, in bytes of UTF-8. A longer id is an error.
///
/// A browser sends it back as a header, and servers and proxies limit the length of headers.
pub const EVENT_ID_BYTES_MAX: usize = 255;

/// The largest [`frame_bytes_max`](Limits::frame_bytes_max), in bytes: the limit of a [`Decoder`](wire::Decoder) without the
/// id line, which has one position for each channel.
pub const FRAME_BYTES_MAX: usize = wire::DECODER_BYTES_MAX - 4096;

/// Longest idempotency key, in bytes of UTF-8. A longer key is an error.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// Longest reconnection time of an event: a day. A longer time is an error.
pub const RETRY_MAX: Duration = Duration::from_millis(86_400_000);

/// Deepest nesting of data that is published as JSON. Deeper nesting is an error. Text is not checked.
///
/// Recursive parsers fail at some depth: Python's at about 1,000, many at 128.
pub const JSON_DEPTH_MAX: usize = 128;

/// Most digits of a number in data that is published as JSON. More digits are an error. Text is not checked.
///
/// It is the default limit of Python's conversion to an integer.
pub const JSON_NUMBER_DIGITS_MAX: usize = 4_300;

/// Most channels of one subscription. More channels are an error.
///
/// It is also the number of bits in the word that marks the channels with news.
pub const SUBSCRIPTION_CHANNELS_MAX: usize = 64;

/// Most events of each channel that a client may ask for with `last`. More is an error.
pub const LAST_MAX: usize = 1_000;

/// Smallest and largest segment of memory in which a log keeps its frames, in bytes. A log begins with the smallest size and
/// doubles it. A frame that is larger gets a segment of its own size.
///
/// The largest size is small enough that a stalled reader of its last bytes holds little memory, and that the allocator
/// serves it without a system call.
pub(crate) const SEGMENT_BYTES: std::ops::RangeInclusive<usize> = 1024..=64 * 1024;

/// Most events in one page of the broker's history for a subscriber that its log can't serve. A page is the only thing that
/// a subscriber ever owns.
pub const BACKFILL_PAGE_EVENTS: usize = 256;

/// Most events of the broker's history that such a subscriber gets until its log can serve it again, unless its broker sets
/// [another limit](crate::broker::BackfillLimits). A subscriber that needs more is told by a [`Reset`](crate::Reset).
pub const BACKFILL_EVENTS_MAX: usize = 10_000;

/// Most bytes of the frames of those events: 8 MiB.
pub const BACKFILL_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Longest [control message](crate::broker::Broker::send_control): 1 KiB. A longer message is ignored.
pub const CONTROL_BYTES_MAX: usize = 1024;

/// How long the events of a channel with readers are kept whatever the limit of all logs, so that they can be read: 5
/// seconds. The limits of a single log still apply.
pub(crate) const UNREAD_AGE_MAX: Duration = Duration::from_secs(5);

/// Fewest bytes that are published between two scans for events to drop at the limit of all logs: 64 KiB.
pub(crate) const EVICTION_BYTES_MIN: usize = 64 * 1024;

/// Most unread events of a feed, unless its subscriber chose another number. [`WhenFull`](crate::WhenFull) says what happens
/// at this limit.
pub const FEED_EVENTS_DEFAULT: usize = 1_000;

/// Most bytes of the unread frames of a feed, including those that other feeds share: 1 MiB.
pub const FEED_BYTES_DEFAULT: usize = 1024 * 1024;

/// Most bytes of the frames of a feed's initial events: 8 MiB. More is an error.
pub const FEED_INITIAL_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Most bytes that one read from a log returns, unless a single frame is larger.
pub const READ_BYTES_DEFAULT: usize = 64 * 1024;

/// The limits that an operator may change.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tidecast::Limits;
///
/// let mut limits = Limits::default();
/// limits.log_age_max = Duration::from_secs(60);
/// assert_eq!(limits.log_events_max, 10_000);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Most events in one channel's log. Default 10,000. 0 is taken as 1.
    ///
    /// At this limit the oldest event is dropped, but never the newest.
    pub log_events_max: usize,

    /// Most bytes of frames in one channel's log. Default 8 MiB. 0 keeps only the newest event.
    ///
    /// At this limit the oldest event is dropped, but never the newest.
    pub log_bytes_max: usize,

    /// How long an event stays in a log. Default 5 minutes. `Duration::MAX` keeps it for ever.
    ///
    /// Zero keeps an event until the next event or the next sweep. A reader that is slower is told `too-slow`.
    pub log_age_max: Duration,

    /// Most memory of all logs that have events, in bytes, with their overhead. Default 256 MiB.
    ///
    /// At this limit the logs that were published to longest ago lose their events, but not their position: a client that
    /// resumes there is told `expired`. No publish is refused because of it. The events of a channel with readers are kept
    /// for 5 seconds whatever this limit, because they may not have been read: at most
    /// [`log_bytes_max`](Self::log_bytes_max) of each such channel. 0 keeps no others.
    pub logs_bytes_max: usize,

    /// Most idle channels: those without an event and without a reader. Default 100,000. 0 keeps none.
    ///
    /// At this limit the channels that have been idle for longest are forgotten. The positions of as many forgotten channels
    /// that had events are kept, for about 100 bytes and the name each. A client that resumes there misses nothing if
    /// nothing was published meanwhile. Beyond that, a client is told `restarted`.
    pub idle_channels_max: usize,

    /// Most channels with a reader that never had an event, as far as this node knows. Default 250,000, which take some
    /// 150 MiB. 0 allows none.
    ///
    /// At this limit [`Hub::subscribe`](crate::Hub::subscribe) refuses another such channel with an error that
    /// [is full](crate::Error::is_full). Their memory does not count towards [`logs_bytes_max`](Self::logs_bytes_max).
    pub read_channels_max: usize,

    /// Longest data of one event, in bytes. Default 1 MiB. Longer data is [too large](crate::Error::is_too_large).
    pub event_data_bytes_max: usize,

    /// Longest frame, in bytes: an event with its field names. Default 2 MiB. More than [`FRAME_BYTES_MAX`] is taken as
    /// that. A longer frame is [too large](crate::Error::is_too_large).
    pub frame_bytes_max: usize,

    /// How long an idempotency key is remembered. Default 5 minutes. Zero remembers none.
    pub idempotency_age_max: Duration,

    /// Most idempotency keys of all channels. Default 100,000. At this limit the oldest key is forgotten.
    pub idempotency_keys_max: usize,
}

impl Limits {
    /// Checks the size of an event, and the nesting and numbers of its data if that is JSON.
    ///
    /// # Errors
    ///
    /// [`Error::is_too_large`]; [`Error::is_invalid`] for JSON that is nested deeper than [`JSON_DEPTH_MAX`] or has a number
    /// of more digits than [`JSON_NUMBER_DIGITS_MAX`].
    pub fn check(&self, event: &Event) -> Result<()> {
        let data_bytes = event.data().len();
        if data_bytes > self.event_data_bytes_max {
            return Err(Error::too_large("event data", data_bytes, self.event_data_bytes_max));
        }
        if let Some(frame_bytes) = wire::frame_len_above(event, self.frame_bytes_max) {
            return Err(Error::too_large("event with its field names", frame_bytes, self.frame_bytes_max));
        }
        event.check_json()
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            log_events_max: 10_000,
            log_bytes_max: 8 * 1024 * 1024,
            log_age_max: Duration::from_secs(5 * 60),
            logs_bytes_max: 256 * 1024 * 1024,
            idle_channels_max: 100_000,
            read_channels_max: 250_000,
            event_data_bytes_max: 1024 * 1024,
            frame_bytes_max: 2 * 1024 * 1024,
            idempotency_age_max: Duration::from_secs(5 * 60),
            idempotency_keys_max: 100_000,
        }
    }
}
