//! The position behind a payload, as white space: JSON's readers skip it, so a Flask-SSE reads the event and we read
//! more.
//!
//! A tail is 27 hex digits: one for version and flags, 12 for the epoch, 14 for the offset. Each digit is two
//! characters of white space, its upper two bits and its lower two, by this table: 0 space, 1 tab, 2 line feed, 3
//! carriage return. The script that publishes writes all but the first digit, by the table that [`lua_digits`] makes
//! of this one.

use std::{fmt::Write, str};

use tidecast::Position;

/// Two bits each.
const WHITE: [u8; 4] = *b" \t\n\r";

/// In Lua's notation.
const WHITE_IN_LUA: [&str; 4] = [" ", "\\t", "\\n", "\\r"];

const EPOCH_DIGITS: usize = 12;
const OFFSET_DIGITS: usize = 14;
const DIGITS: usize = 1 + EPOCH_DIGITS + OFFSET_DIGITS;

/// How long a tail is.
const TRAILER_BYTES: usize = DIGITS * 2;

/// The first digit: this version, and in its lowest bit whether the history has more of the event. Not zero, which
/// somebody's own trailing blanks would be.
const VERSION: u8 = 0b0010;
const PARTIAL: u8 = 0b0001;

/// Offsets are numbers in a script, and those are exact up to here.
const OFFSET_MAX: u64 = 1 << 53;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trailer {
    pub(super) position: Position,
    pub(super) partial: bool,
}

/// A payload without its tail, and the tail. A tail that is not exactly ours is none: then the payload is foreign.
pub(super) fn split(payload: &[u8]) -> (&[u8], Option<Trailer>) {
    let parsed = payload.split_last_chunk::<TRAILER_BYTES>().and_then(|(body, white)| {
        // Nothing of ours has a blank between the two.
        let joined = matches!(body.last(), Some(b'}' | b']'));
        Some((body, joined.then(|| parse(white)).flatten()?))
    });
    parsed.map_or((payload, None), |(body, trailer)| (body, Some(trailer)))
}

fn parse(white: &[u8; TRAILER_BYTES]) -> Option<Trailer> {
    let mut digits = [0; DIGITS];
    for (digit, pair) in digits.iter_mut().zip(white.chunks_exact(2)) {
        *digit = two_bits(pair[0])? << 2 | two_bits(pair[1])?;
    }
    let [first, rest @ ..] = digits;
    if first & !PARTIAL != VERSION {
        return None;
    }
    let offset = rest[EPOCH_DIGITS..].iter().fold(0, |offset, digit| offset << 4 | u64::from(*digit));
    if !(1..=OFFSET_MAX).contains(&offset) {
        return None;
    }
    let mut text = String::with_capacity(EPOCH_DIGITS + 18);
    for digit in &rest[..EPOCH_DIGITS] {
        text.push(char::from_digit(u32::from(*digit), 16)?);
    }
    write!(text, ".{offset}").ok()?;
    // An epoch of zero is no log's, and does not parse.
    let position = text.parse().ok()?;
    Some(Trailer { position, partial: first & PARTIAL != 0 })
}

fn two_bits(white: u8) -> Option<u8> {
    WHITE.iter().position(|known| *known == white).map(|at| at as u8)
}

/// The first digit of a tail, which the script is given.
pub(super) fn first_digit(partial: bool) -> [u8; 2] {
    pair(VERSION | if partial { PARTIAL } else { 0 })
}

fn pair(digit: u8) -> [u8; 2] {
    [WHITE[usize::from(digit >> 2 & 3)], WHITE[usize::from(digit & 3)]]
}

/// The table as the fields of a table in Lua, from each hex digit to its two characters.
pub(crate) fn lua_digits() -> String {
    let mut fields = String::new();
    for digit in 0..16 {
        let (upper, lower) = (WHITE_IN_LUA[digit >> 2], WHITE_IN_LUA[digit & 3]);
        // Writing to a string does not fail.
        let _ = write!(fields, "['{digit:x}']='{upper}{lower}',");
    }
    fields
}

/// A whole tail, as script and builder write it together.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn written(position: Position, partial: bool) -> Vec<u8> {
    let text = position.to_string();
    let epoch = text.split('.').next().unwrap_or_default();
    let digits = format!("{epoch}{:014x}", position.offset);
    let rest = digits.chars().flat_map(|digit| pair(digit.to_digit(16).unwrap_or_default() as u8));
    first_digit(partial).into_iter().chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(offset: u64) -> Position {
        format!("00c0ffee1234.{offset}").parse().unwrap()
    }

    #[test]
    fn a_tail_comes_back() {
        for offset in [1, 15, 16, 1 << 32, OFFSET_MAX] {
            for partial in [false, true] {
                let payload = [b"{}".as_slice(), &written(position(offset), partial)].concat();
                assert_eq!(payload.len(), 2 + TRAILER_BYTES);
                let trailer = Trailer { position: position(offset), partial };
                assert_eq!(split(&payload), (b"{}".as_slice(), Some(trailer)));
            }
        }
    }

    #[test]
    fn what_is_not_exactly_a_tail_is_none() {
        let trailer = written(position(7), false);
        let mut shorter = [b"{}".as_slice(), &trailer].concat();
        shorter.pop();
        let mut other_version = [b"{}".as_slice(), &trailer].concat();
        other_version[2] = b'\r';
        let refused = [
            shorter,
            other_version,
            [b"{}".as_slice(), &trailer, b" "].concat(),
            [b"{} ".as_slice(), &trailer].concat(),
            trailer.clone(),
            [b"\"x\"".as_slice(), &trailer].concat(),
            [b"{}".as_slice(), &written(position(0), false)].concat(),
            [b"{}".as_slice(), &written(position(OFFSET_MAX + 1), false)].concat(),
            [b"{}".as_slice(), &[b' '; TRAILER_BYTES]].concat(),
            [b"{}".as_slice(), &[b'\n'; TRAILER_BYTES]].concat(),
        ];
        for payload in refused {
            assert_eq!(split(&payload), (payload.as_slice(), None), "{}", payload.escape_ascii());
        }
        // The first digit is right, the epoch is zero.
        let mut no_epoch = [b' '; TRAILER_BYTES];
        no_epoch[..2].copy_from_slice(&first_digit(false));
        no_epoch[TRAILER_BYTES - 1] = b'\t';
        assert_eq!(split(&[b"{}".as_slice(), &no_epoch].concat()).1, None);
    }

    #[test]
    fn the_table_in_lua_is_this_table() {
        let fields = lua_digits();
        assert!(fields.starts_with("['0']='  ',['1']=' \\t',['2']=' \\n',['3']=' \\r',['4']='\\t ',"), "{fields}");
        assert!(fields.ends_with("['f']='\\r\\r',"), "{fields}");
    }
}
