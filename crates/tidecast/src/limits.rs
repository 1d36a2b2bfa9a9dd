//! Every bound of the engine: its name, its default, and what happens at it.
//!
//! Bounds that the standard or the wire fix are constants; those that an operator may want otherwise
//! are fields of [`Limits`]. No other file states such a number.

use std::time::Duration;

use crate::{Error, Event, Result, wire};

/// Longest channel name, in bytes of UTF-8. A longer one is an error.
pub const CHANNEL_BYTES_MAX: usize = 255;

/// Longest event type, in bytes of UTF-8. A longer one is an error.
pub const EVENT_TYPE_BYTES_MAX: usize = 255;

/// Longest event id, in bytes of UTF-8. A longer one is an error.
///
/// A browser sends it back as a header, and servers and proxies bound those.
pub const EVENT_ID_BYTES_MAX: usize = 255;

/// The largest [`frame_bytes_max`](Limits::frame_bytes_max): what a [`Decoder`](wire::Decoder) takes, less the id line,
/// which has one position per channel.
pub const FRAME_BYTES_MAX: usize = wire::DECODER_BYTES_MAX - 4096;

/// Longest idempotency key, in bytes of UTF-8. A longer one is an error.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// Longest reconnection time that an event may carry: a day. A longer one is an error.
pub const RETRY_MAX: Duration = Duration::from_millis(86_400_000);

/// Deepest nesting of data that is published as JSON. Deeper is an error; text is not looked at.
///
/// Parsers that recurse end at some depth: Python's at about 1,000, many at 128.
pub const JSON_DEPTH_MAX: usize = 128;

/// Most digits of a number in data that is published as JSON. More is an error; text is not looked at.
///
/// It is what Python converts to an integer unless it is told otherwise.
pub const JSON_NUMBER_DIGITS_MAX: usize = 4_300;

/// Most channels of one subscription. More is an error.
///
/// It is also the number of bits in the word by which a publisher tells a subscriber where to look.
pub const SUBSCRIPTION_CHANNELS_MAX: usize = 64;

/// Most events of each channel that `last` may ask for. More is an error.
pub const LAST_MAX: usize = 1_000;

/// Smallest and largest block of memory in which a log keeps its frames, in bytes. A log begins with the smallest and
/// doubles; a frame that is larger gets a block of its own size.
///
/// Small enough that a reader who stalls on the last bytes of one holds little, and that the allocator serves it
/// without asking the system.
pub(crate) const SEGMENT_BYTES: std::ops::RangeInclusive<usize> = 1024..=64 * 1024;

/// Most events that a subscriber which its log can't serve is given of the broker's history at once: the only thing that
/// a subscriber ever owns.
pub const BACKFILL_PAGE_EVENTS: usize = 256;

/// Most events that such a subscriber is given in all until its log can serve it again, unless its broker sets
/// [another bound](crate::broker::BackfillLimits). What goes beyond is told by a [`Reset`](crate::Reset).
pub const BACKFILL_EVENTS_MAX: usize = 10_000;

/// The same in bytes of frames: 8 MiB.
pub const BACKFILL_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Most bytes of a [control message](crate::broker::Broker::send_control): 1 KiB. A longer one is ignored.
pub const CONTROL_BYTES_MAX: usize = 1024;

/// How long the events of a channel that has readers are kept whatever the bound of all logs, so that they can be read:
/// 5 seconds. A log's own bounds hold.
pub(crate) const UNREAD_AGE_MAX: Duration = Duration::from_secs(5);

/// How many bytes are published at least before events are looked for again that the bound of all logs drops: 64 KiB.
pub(crate) const EVICTION_BYTES_MIN: usize = 64 * 1024;

/// Most events that wait in a feed's own log, unless its subscriber chose another number. What happens at it is
/// [`WhenFull`](crate::WhenFull).
pub const FEED_EVENTS_DEFAULT: usize = 1_000;

/// The same in bytes of frames, also of those that other feeds share: 1 MiB.
pub const FEED_BYTES_DEFAULT: usize = 1024 * 1024;

/// Most bytes of the frames of a feed's initial events: 8 MiB. More is an error.
pub const FEED_INITIAL_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What one read from a log hands out at most, in bytes, unless a single frame is larger.
pub const READ_BYTES_DEFAULT: usize = 64 * 1024;

/// The bounds that an operator may set.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tidecast::Limits;
///
/// let limits = Limits { log_age_max: Duration::from_secs(60), ..Limits::default() };
/// assert_eq!(limits.log_events_max, 10_000);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most events in one channel's log. Default 10,000; 0 is taken as 1.
    ///
    /// At it the oldest goes. The newest event is never removed by this bound.
    pub log_events_max: usize,

    /// Most bytes of frames in one channel's log. Default 8 MiB; 0 keeps the newest event only.
    ///
    /// At it the oldest goes. The newest event is never removed by this bound.
    pub log_bytes_max: usize,

    /// How long an event stays in a log. Default 5 minutes; zero keeps it until the next event or the next sweep: a reader
    /// that is slower is told `too-slow`. `Duration::MAX` is for ever.
    pub log_age_max: Duration,

    /// Most memory of the logs that have events, together, in bytes, with their overhead. Default 256 MiB.
    ///
    /// At it the logs that were published to longest ago lose their events, not their position: a client that resumes
    /// there is told `expired`. A publish is never refused for it. Events of a channel that has readers are kept for 5
    /// seconds whatever this bound, as they may not have been read: at most [`log_bytes_max`](Self::log_bytes_max) of each
    /// such channel. 0 keeps no others.
    pub logs_bytes_max: usize,

    /// Most idle channels, that is, without an event and without a reader. Default 100,000; 0 keeps none.
    ///
    /// At it those idle for longest are forgotten. Of as many forgotten channels that had events the position is kept,
    /// some 100 bytes and the name each: a client that resumes there misses nothing if nothing was published meanwhile.
    /// Beyond that it is told `restarted`.
    pub idle_channels_max: usize,

    /// Most channels that never had an event, as far as this node knows, and are read. Default 250,000, some 150 MiB; 0
    /// allows none.
    ///
    /// At it [`Hub::subscribe`](crate::Hub::subscribe) to another such channel is refused with an error that
    /// [is full](crate::Error::is_full). Their memory does not count towards [`logs_bytes_max`](Self::logs_bytes_max).
    pub read_channels_max: usize,

    /// Longest data of one event, in bytes. Default 1 MiB. A longer one is [too large](crate::Error::is_too_large).
    pub event_data_bytes_max: usize,

    /// Longest frame, that is, an event with its field names, in bytes. Default 2 MiB; more than [`FRAME_BYTES_MAX`] is
    /// taken as that.
    /// A longer one is [too large](crate::Error::is_too_large).
    pub frame_bytes_max: usize,

    /// How long an idempotency key is remembered. Default 5 minutes; zero remembers none.
    pub idempotency_age_max: Duration,

    /// Most idempotency keys of all channels together. Default 100,000. At it the oldest is forgotten.
    pub idempotency_keys_max: usize,
}

impl Limits {
    /// Checks the size of an event, and that its data can be loaded if it is JSON.
    ///
    /// # Errors
    ///
    /// [`Error::is_too_large`], and [`Error::is_invalid`] for JSON nested deeper than [`JSON_DEPTH_MAX`] or with a number of
    /// more digits than [`JSON_NUMBER_DIGITS_MAX`].
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
