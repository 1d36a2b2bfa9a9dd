//! The name of a channel.

use std::{str::FromStr, sync::Arc};

use super::field::{check_characters, check_length, text_field};
use crate::{Error, Result, limits::CHANNEL_BYTES_MAX};

/// The name of a channel.
///
/// UTF-8, 1 to 255 bytes, without control characters (U+0000–001F, U+007F–009F). No other character is special: there are
/// no wildcards and no separators, and case matters. Cheap to clone.
///
/// The default is `sse`, as in Flask-SSE.
///
/// # Examples
///
/// ```
/// use tidecast::Channel;
///
/// let channel = Channel::new("users.social")?;
/// assert_eq!(channel.as_str(), "users.social");
/// assert_eq!(Channel::default(), "sse");
/// assert!(Channel::new("").is_err());
/// # Ok::<(), tidecast::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel(Arc<str>);

impl Channel {
    /// Parses a name.
    ///
    /// # Errors
    ///
    /// [`Error::is_invalid`] if it is empty, longer than 255 bytes, or has a control character.
    pub fn new(name: &str) -> Result<Self> {
        const WHAT: &str = "channel name";
        check_length(WHAT, name, CHANNEL_BYTES_MAX)?;
        check_characters(WHAT, name)?;
        Ok(Self(name.into()))
    }
}

text_field!(Channel);

impl Default for Channel {
    fn default() -> Self {
        Self("sse".into())
    }
}

impl AsRef<str> for Channel {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Channel {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Channel {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl FromStr for Channel {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

/// Lets a slice of names stand for a list of channels.
impl TryFrom<&&str> for Channel {
    type Error = Error;

    fn try_from(name: &&str) -> Result<Self> {
        Self::new(name)
    }
}

impl From<&Self> for Channel {
    fn from(channel: &Self) -> Self {
        channel.clone()
    }
}
