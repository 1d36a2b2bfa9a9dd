//! The error of this crate.
//!
//! It is opaque on purpose: callers decide with the `is_*` predicates, and the text is for people. Nothing here knows HTTP;
//! `tidecast-axum` maps the predicates to statuses.

use std::{borrow::Cow, convert::Infallible, fmt};

/// The error of this crate.
///
/// The text of `Display` is for people and may change. [`source`](std::error::Error::source) returns the underlying error.
///
/// # Examples
///
/// ```
/// let error = tidecast::Channel::new("a\nb").unwrap_err();
/// assert!(error.is_invalid());
/// assert_eq!(error.to_string(), "channel name has a control character at byte 1");
/// ```
pub struct Error(Box<ErrorInner>);

struct ErrorInner {
    kind: Kind,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Closed,
    Invalid { what: &'static str, why: Cow<'static, str> },
    TooLarge { what: &'static str, bytes: usize, bytes_max: usize },
    Unavailable { why: Cow<'static, str>, in_doubt: bool },
    Full { why: Cow<'static, str> },
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Returns whether the caller's input is at fault, so that it would be refused again.
    ///
    /// ```
    /// assert!(tidecast::EventId::new("a\0b").unwrap_err().is_invalid());
    /// ```
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        matches!(self.0.kind, Kind::Invalid { .. })
    }

    /// Returns whether an event is larger than the limits allow.
    ///
    /// ```
    /// # let mut limits = tidecast::Limits::default();
    /// limits.event_data_bytes_max = 4;
    /// let hub = tidecast::Hub::builder().limits(limits).build();
    /// let refused = hub.publish_now("sse", tidecast::Event::text("five!"));
    /// assert!(refused.unwrap_err().is_too_large());
    /// ```
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        matches!(self.0.kind, Kind::TooLarge { .. })
    }

    /// Returns whether the broker could not be reached, or a limit [is reached](Self::is_full). The same call may succeed
    /// later.
    ///
    /// ```
    /// assert!(tidecast::Error::unavailable("the broker is away").is_unavailable());
    /// ```
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self.0.kind, Kind::Unavailable { .. } | Kind::Full { .. })
    }

    /// Returns whether the hub has as many channels that are only read as
    /// [its limit](crate::Limits::read_channels_max) allows.
    ///
    /// ```
    /// let mut limits = tidecast::Limits::default();
    /// limits.read_channels_max = 1;
    /// let hub = tidecast::Hub::builder().limits(limits).build();
    /// let _reader = hub.subscribe(["a"], tidecast::Start::Live)?;
    /// assert!(hub.subscribe(["b"], tidecast::Start::Live).unwrap_err().is_full());
    /// # Ok::<(), tidecast::Error>(())
    /// ```
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.0.kind, Kind::Full { .. })
    }

    /// Returns whether the operation may have been done all the same, because the broker's answer was lost. If an error is
    /// [unavailable](Self::is_unavailable) and not in doubt, nothing was done.
    ///
    /// ```
    /// assert!(tidecast::Error::unavailable("no answer came").in_doubt().is_in_doubt());
    /// assert!(!tidecast::Error::unavailable("the broker is away").is_in_doubt());
    /// ```
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        matches!(self.0.kind, Kind::Unavailable { in_doubt: true, .. })
    }

    /// Returns whether the hub is closed. It accepts no events and no subscribers.
    ///
    /// ```
    /// let hub = tidecast::Hub::new();
    /// hub.close();
    /// assert!(hub.publish_now("sse", tidecast::Event::text("late")).unwrap_err().is_closed());
    /// ```
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.0.kind, Kind::Closed)
    }

    /// Creates the error of a broker that can't be reached. `why` is the whole text. Nothing was done, unless the error is
    /// marked as [in doubt](Self::in_doubt).
    pub fn unavailable(why: impl Into<Cow<'static, str>>) -> Self {
        Self::from_kind(Kind::Unavailable { why: why.into(), in_doubt: false })
    }

    /// Marks the error of an unreachable broker: the operation may have been done.
    #[must_use]
    pub fn in_doubt(mut self) -> Self {
        if let Kind::Unavailable { in_doubt, .. } = &mut self.0.kind {
            *in_doubt = true;
        }
        self
    }

    /// Creates the error of a closed hub or broker.
    #[must_use]
    pub fn closed() -> Self {
        Self::from_kind(Kind::Closed)
    }

    /// Creates the error of an invalid input. Its text is `what`, the input, followed by `why` it is refused.
    ///
    /// ```
    /// let error = tidecast::Error::invalid("key prefix", "is empty");
    /// assert_eq!(error.to_string(), "key prefix is empty");
    /// ```
    pub fn invalid(what: &'static str, why: impl Into<Cow<'static, str>>) -> Self {
        Self::from_kind(Kind::Invalid { what, why: why.into() })
    }

    /// Adds the underlying error.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    pub(crate) fn full(why: impl Into<Cow<'static, str>>) -> Self {
        Self::from_kind(Kind::Full { why: why.into() })
    }

    pub(crate) fn too_large(what: &'static str, bytes: usize, bytes_max: usize) -> Self {
        Self::from_kind(Kind::TooLarge { what, bytes, bytes_max })
    }

    fn from_kind(kind: Kind) -> Self {
        Self(Box::new(ErrorInner { kind, source: None }))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.kind {
            Kind::Closed => f.write_str("the hub is closed"),
            Kind::Invalid { what, why } => write!(f, "{what} {why}"),
            Kind::TooLarge { what, bytes, bytes_max } => {
                write!(f, "{what} is {bytes} bytes long; at most {bytes_max} are allowed")
            }
            Kind::Unavailable { why, .. } | Kind::Full { why } => f.write_str(why),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error").field("kind", &self.0.kind).field("source", &self.0.source).finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

// So that a `Channel` passes where anything that becomes one is taken.
impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
