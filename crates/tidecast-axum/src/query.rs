//! Parses queries and form bodies strictly: bytes that are not UTF-8 are an error, not a replacement character.

use std::borrow::Cow;

use percent_encoding::percent_decode;
use tidecast::{Channel, limits::SUBSCRIPTION_CHANNELS_MAX};

use crate::Problem;

/// The most pairs in one query or form body. More are an error.
pub const PAIRS_MAX: usize = 1_000;

/// The parameters of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct StreamQuery {
    /// At least one, each once, in the order of the query.
    pub(crate) channels: Vec<Channel>,
    pub(crate) last_event_id: Option<Vec<u8>>,
    pub(crate) last: Option<usize>,
    pub(crate) open_event: bool,
    /// An alias of `channel`, if the query has no `channel`.
    alias: Option<String>,
    /// A parameter other than `channel` that is given more than once.
    repeated: Option<&'static str>,
}

impl StreamQuery {
    /// Parses a query of the stream endpoint. Unknown parameters may be the application's and are ignored, except for an
    /// alias of `channel` in a query without `channel`.
    pub(crate) fn parse(query: &str) -> Result<Self, Problem> {
        let parsed = Self::parse_leniently(query)?;
        if let Some(name) = parsed.repeated {
            return Err(Problem::bad_request(format!("`{name}` is given more than once")));
        }
        match &parsed.alias {
            Some(name) => Err(Problem::bad_request(format!(
                "`{name}` is not known here; did you mean `channel`? Several channels are `channel=a&channel=b`"
            ))),
            None => Ok(parsed),
        }
    }

    /// Parses a query in which some parameters may be the application's. Empty values count as not given, and of several
    /// values the first counts.
    pub(crate) fn parse_leniently(query: &str) -> Result<Self, Problem> {
        const ONCE: [&str; 4] = ["last_event_id", "lastEventId", "last", "open"];

        let mut parsed = Self::default();
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
                        let detail =
                            format!("a stream has at most {SUBSCRIPTION_CHANNELS_MAX} channels; open another one");
                        return Err(Problem::bad_request(detail));
                    }
                }
                _ if value.is_empty() => {}
                // Any bytes: the stream reports an id that the hub cannot read.
                b"last_event_id" | b"lastEventId" if parsed.last_event_id.is_none() => {
                    parsed.last_event_id = Some(value.into_owned());
                }
                b"last" => parsed.last = Some(parse_last(&utf8("last", value)?)?),
                b"open" => parsed.open_event = parse_open(&utf8("open", value)?)?,
                _ if parsed.alias.is_none() => {
                    let name = std::str::from_utf8(&name).ok();
                    parsed.alias = name.filter(|name| is_channel_alias(name)).map(str::to_owned);
                }
                _ => {}
            }
        }
        if parsed.channels.is_empty() {
            parsed.channels.push(Channel::default());
        } else {
            parsed.alias = None;
        }
        Ok(parsed)
    }
}

/// Parses the value of `last`, the number of newest events: 0 to 1,000.
///
/// # Errors
///
/// A 400 for any other value.
pub fn parse_last(text: &str) -> Result<usize, Problem> {
    let max = tidecast::limits::LAST_MAX;
    match text.parse() {
        Ok(last) if last <= max && !text.starts_with('+') => Ok(last),
        _ => Err(Problem::bad_request(format!("`last` must be a whole number from 0 to {max}, not {}", quoted(text)))),
    }
}

/// Returns a value in quotes for a message: escaped, and cut if it is long.
pub fn quoted(value: &str) -> String {
    const SHOWN_MAX: usize = 64;

    match value.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{:?}…", &value[..end]),
        None => format!("{value:?}"),
    }
}

/// Returns the pairs of a query or of an `application/x-www-form-urlencoded` body, decoded.
///
/// # Errors
///
/// A 400 for a name or a value that is not UTF-8, and for more than [`PAIRS_MAX`] pairs.
pub fn pairs(text: &[u8]) -> Result<Vec<(String, String)>, Problem> {
    raw_pairs(text)?
        .map(|(name, value)| {
            let name = utf8("a parameter's name", name)?;
            let value = utf8(&name, value)?;
            Ok((name, value))
        })
        .collect()
}

/// Returns the names of the pairs of a query, decoded, in order. Bytes that are not UTF-8 are replaced.
///
/// # Errors
///
/// A 400 for more than [`PAIRS_MAX`] pairs.
pub fn names(text: &[u8]) -> Result<Vec<String>, Problem> {
    Ok(raw_pairs(text)?.map(|(name, _)| String::from_utf8_lossy(&name).into_owned()).collect())
}

/// Returns whether a parameter's name was probably meant as `channel`: the name that a library makes of a list
/// (`channel[]`), or the name of a channel at another server.
#[must_use]
pub fn is_channel_alias(name: &str) -> bool {
    const ALIASES: [&str; 7] = ["channel", "channels", "chan", "stream", "streams", "topic", "topics"];
    let stem = name.split('[').next().unwrap_or_default();
    name != "channel" && ALIASES.iter().any(|alias| stem.eq_ignore_ascii_case(alias))
}

/// Returns all values of a parameter, decoded, in order. They need not be UTF-8.
///
/// # Errors
///
/// A 400 for more than [`PAIRS_MAX`] pairs.
pub fn values<'a>(text: &'a [u8], name: &str) -> Result<Vec<Cow<'a, [u8]>>, Problem> {
    let named = raw_pairs(text)?.filter(|(given, _)| **given == *name.as_bytes());
    Ok(named.map(|(_, value)| value).collect())
}

/// Returns the channels of a stream's query, each once and at least one, as [`Streams`](crate::Streams) parses them: for a
/// layer that decides on a request before it is counted or subscribed.
///
/// # Errors
///
/// A 400 for a query that [`Streams`](crate::Streams) refuses.
pub fn channels(query: &str) -> Result<Vec<Channel>, Problem> {
    Ok(StreamQuery::parse(query)?.channels)
}

type RawPair<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

fn raw_pairs(text: &[u8]) -> Result<impl Iterator<Item = RawPair<'_>>, Problem> {
    if text.split(|byte| *byte == b'&').nth(PAIRS_MAX).is_some() {
        return Err(Problem::bad_request(format!("there are more than {PAIRS_MAX} parameters; send fewer")));
    }
    let pairs = text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    Ok(pairs.map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let value = pair.get(equals + 1..).unwrap_or_default();
        (decode(&pair[..equals]), decode(value))
    }))
}

/// Decodes percent-encoding, and `+` as a space. A percent sign that begins no escape stands for itself, as in the URL
/// standard.
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

fn parse_open(text: &str) -> Result<bool, Problem> {
    match text {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(Problem::bad_request(format!("`open` must be 1, 0, true or false, not {}", quoted(text)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_decoded() {
        let owned = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(pairs(b"channel=a%20b&data=1+2").unwrap(), [owned("channel", "a b"), owned("data", "1 2")]);
        assert!(pairs(b"channel=%ff").is_err());
        assert_eq!(names(b"channel=a&t%6Fpic=b").unwrap(), ["channel", "topic"]);
        assert_eq!(values(b"ticket=a%2Eb&channel=%ff", "ticket").unwrap(), [&b"a.b"[..]]);
        assert!(is_channel_alias("channel[]") && is_channel_alias("topic") && !is_channel_alias("channel"));
        assert_eq!(channels("channel=a&channel=b&channel=a").unwrap(), ["a", "b"]);
        assert_eq!(channels("").unwrap(), ["sse"]);
    }
}
