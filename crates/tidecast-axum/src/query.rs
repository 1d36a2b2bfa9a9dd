//! Queries and form bodies, read strictly: what is not UTF-8 is an error and not a replacement character.

use std::borrow::Cow;

use percent_encoding::percent_decode;
use tidecast::{Channel, limits::SUBSCRIPTION_CHANNELS_MAX};

use crate::Problem;

/// Most pairs that are looked at in one query or form body. More is an error.
pub const PAIRS_MAX: usize = 1_000;

/// What a query asks of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct StreamQuery {
    /// At least one, each once, in the order in which they were first named.
    pub(crate) channels: Vec<Channel>,
    pub(crate) last_event_id: Option<Vec<u8>>,
    pub(crate) last: Option<usize>,
    pub(crate) open_event: bool,
    /// A name that was most likely meant as `channel`, where that is not there.
    mistaken: Option<String>,
    /// A name that is there more than once, but not `channel`.
    repeated: Option<&'static str>,
}

impl StreamQuery {
    /// Reads a query of the stream endpoint. Names that say nothing to a stream are passed over, as they may be the
    /// application's, unless they were most likely meant as `channel` and there is none.
    pub(crate) fn parse(query: &str) -> Result<Self, Problem> {
        let parsed = Self::parse_leniently(query)?;
        if let Some(name) = parsed.repeated {
            return Err(Problem::bad_request(format!("`{name}` is given more than once")));
        }
        match &parsed.mistaken {
            Some(name) => Err(Problem::bad_request(format!(
                "`{name}` is not known here; did you mean `channel`? Several channels are `channel=a&channel=b`"
            ))),
            None => Ok(parsed),
        }
    }

    /// Reads a query of which only some may be meant for a stream. What is empty counts as not given, and of several
    /// values the first counts.
    pub(crate) fn parse_leniently(query: &str) -> Result<Self, Problem> {
        const ONCE: [&str; 4] = ["last_event_id", "lastEventId", "last", "open"];

        let mut parsed = Self::default();
        let mut open_event = None;
        let mut seen = [false; ONCE.len()];
        for (name, value) in raw_pairs(query.as_bytes())? {
            if let Some(index) = ONCE.iter().position(|once| *name == *once.as_bytes() && !value.is_empty())
                && std::mem::replace(&mut seen[index], true)
            {
                parsed.repeated = parsed.repeated.or(Some(ONCE[index]));
                continue;
            }
            match &*name {
                b"channel" => {
                    let name = utf8("channel", value)?;
                    let channel = if name.is_empty() { Channel::default() } else { Channel::new(&name)? };
                    if !parsed.channels.contains(&channel) {
                        parsed.channels.push(channel);
                    }
                    if parsed.channels.len() > SUBSCRIPTION_CHANNELS_MAX {
                        let detail = format!("a stream has at most {SUBSCRIPTION_CHANNELS_MAX} channels");
                        return Err(Problem::bad_request(detail));
                    }
                }
                _ if value.is_empty() => {}
                // Whatever bytes it has: an unreadable one is answered in the stream.
                b"last_event_id" | b"lastEventId" if parsed.last_event_id.is_none() => {
                    parsed.last_event_id = Some(value.into_owned());
                }
                b"last" => parsed.last = Some(parse_last(&utf8("last", value)?)?),
                b"open" => {
                    open_event = Some(parse_switch("open", &utf8("open", value)?)?);
                }
                _ => {
                    if parsed.mistaken.is_none() {
                        parsed.mistaken =
                            std::str::from_utf8(&name).ok().filter(|name| means_channel(name)).map(str::to_owned);
                    }
                }
            }
        }
        parsed.open_event = open_event.unwrap_or_default();
        if parsed.channels.is_empty() {
            parsed.channels.push(Channel::default());
        } else {
            parsed.mistaken = None;
        }
        Ok(parsed)
    }
}

/// Reads how many of the newest events are asked for: a number from 0 to 1,000.
///
/// # Errors
///
/// A 400 that names what is wrong.
pub fn parse_last(text: &str) -> Result<usize, Problem> {
    let max = tidecast::limits::LAST_MAX;
    match text.parse() {
        Ok(last) if last <= max && !text.starts_with('+') => Ok(last),
        _ => Err(Problem::bad_request(format!("`last` must be a whole number from 0 to {max}"))),
    }
}

/// The pairs of a query or of an `application/x-www-form-urlencoded` body, decoded.
///
/// # Errors
///
/// A 400 for a name or a value that is not UTF-8, and for more than [`PAIRS_MAX`] pairs.
///
/// # Examples
///
/// ```
/// let pairs = tidecast_axum::query::pairs(b"channel=a%20b&data=1+2").unwrap();
/// assert_eq!(pairs[0], ("channel".to_owned(), "a b".to_owned()));
/// assert_eq!(pairs[1].1, "1 2");
/// assert!(tidecast_axum::query::pairs(b"channel=%ff").is_err());
/// ```
pub fn pairs(text: &[u8]) -> Result<Vec<(String, String)>, Problem> {
    raw_pairs(text)?
        .map(|(name, value)| {
            let name = utf8("a parameter's name", name)?;
            let value = utf8(&name, value)?;
            Ok((name, value))
        })
        .collect()
}

/// Returns the names of the pairs of a query, decoded, in their order; bytes that are not UTF-8 are replaced.
///
/// # Errors
///
/// A 400 for more than [`PAIRS_MAX`] pairs.
///
/// # Examples
///
/// ```
/// assert_eq!(tidecast_axum::query::names(b"channel=a&t%6Fpic=b").unwrap(), ["channel", "topic"]);
/// ```
#[doc(hidden)]
pub fn names(text: &[u8]) -> Result<Vec<String>, Problem> {
    Ok(raw_pairs(text)?.map(|(name, _)| String::from_utf8_lossy(&name).into_owned()).collect())
}

/// Returns whether a parameter's name was most likely meant as `channel`: what a library makes of a list (`channel[]`), and
/// what other servers call a channel.
///
/// # Examples
///
/// ```
/// use tidecast_axum::query::means_channel;
///
/// assert!(means_channel("channel[]") && means_channel("topic") && !means_channel("channel"));
/// ```
#[doc(hidden)]
#[must_use]
pub fn means_channel(name: &str) -> bool {
    const ALIASES: [&str; 7] = ["channel", "channels", "chan", "stream", "streams", "topic", "topics"];
    let stem = name.split('[').next().unwrap_or_default();
    name != "channel" && ALIASES.iter().any(|alias| stem.eq_ignore_ascii_case(alias))
}

/// All values of a parameter, decoded, in their order; they need not be UTF-8.
///
/// # Errors
///
/// A 400 for more than [`PAIRS_MAX`] pairs.
///
/// # Examples
///
/// ```
/// let tickets = tidecast_axum::query::values(b"ticket=a%2Eb&channel=%ff", "ticket").unwrap();
/// assert_eq!(tickets, [&b"a.b"[..]]);
/// ```
pub fn values<'a>(text: &'a [u8], name: &str) -> Result<Vec<Cow<'a, [u8]>>, Problem> {
    let named = raw_pairs(text)?.filter(|(given, _)| **given == *name.as_bytes());
    Ok(named.map(|(_, value)| value).collect())
}

/// The channels that a query asks a stream for, each once and at least one, as [`Streams`](crate::Streams) reads them:
/// for a layer around it that decides on a request before anything is counted or subscribed.
///
/// # Errors
///
/// A 400 for a query that would not get a stream.
///
/// # Examples
///
/// ```
/// let channels = tidecast_axum::query::channels("channel=a&channel=b&channel=a").unwrap();
/// assert_eq!(channels, ["a", "b"]);
/// assert_eq!(tidecast_axum::query::channels("").unwrap(), ["sse"]);
/// ```
pub fn channels(query: &str) -> Result<Vec<Channel>, Problem> {
    Ok(StreamQuery::parse(query)?.channels)
}

type RawPair<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

fn raw_pairs(text: &[u8]) -> Result<impl Iterator<Item = RawPair<'_>>, Problem> {
    if text.split(|byte| *byte == b'&').nth(PAIRS_MAX).is_some() {
        return Err(Problem::bad_request(format!("more than {PAIRS_MAX} parameters")));
    }
    let pairs = text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    Ok(pairs.map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let value = pair.get(equals + 1..).unwrap_or_default();
        (decode(&pair[..equals]), decode(value))
    }))
}

/// Undoes percent-encoding, and `+` for a space. A percent sign that begins no escape stands for itself, as the URL
/// standard has it.
fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'+') {
        return percent_decode(text).into();
    }
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&spaced).collect::<Vec<_>>().into()
}

fn utf8(name: &str, value: Cow<'_, [u8]>) -> Result<String, Problem> {
    String::from_utf8(value.into_owned()).map_err(|_| Problem::bad_request(format!("`{name}` is not UTF-8")))
}

fn parse_switch(name: &str, text: &str) -> Result<bool, Problem> {
    match text {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(Problem::bad_request(format!("`{name}` must be 1, 0, true or false"))),
    }
}
