//! The trailer of a payload: its position in white space, which JSON parsers skip, so that Flask-SSE reads the event too.
//!
//! A trailer is 27 hex digits: one for version and flag, 12 for the epoch, 14 for the offset. Each digit is two characters
//! of white space, one for its upper and one for its lower two bits: 0 space, 1 tab, 2 line feed, 3 carriage return. The
//! script writes all but the first digit, by the table of [`lua_digits`].

use std::{fmt::Write, str};

use tidecast::Position;

/// The character for each value of two bits.
const WHITE: [u8; 4] = *b" \t\n\r";

/// The same in Lua's notation.
const WHITE_IN_LUA: [&str; 4] = [" ", "\\t", "\\n", "\\r"];

const EPOCH_DIGITS: usize = 12;
const OFFSET_DIGITS: usize = 14;
const DIGITS: usize = 1 + EPOCH_DIGITS + OFFSET_DIGITS;

const TRAILER_BYTES: usize = DIGITS * 2;

/// The version in the first digit. It is not zero, which a foreign payload's trailing blanks would be.
const VERSION: u8 = 0b0010;

/// The flag in the first digit: only the history has the whole event.
const PARTIAL: u8 = 0b0001;

/// The largest offset. Lua's numbers are exact up to it.
const OFFSET_MAX: u64 = 1 << 53;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trailer {
    pub(super) position: Position,
    pub(super) partial: bool,
}

/// Splits a payload into its JSON and its trailer. White space that is not exactly a trailer belongs to a foreign payload.
pub(super) fn split(payload: &[u8]) -> (&[u8], Option<Trailer>) {
    let parsed = payload.split_last_chunk::<TRAILER_BYTES>().and_then(|(body, white)| {
        // Tidecast writes no white space between the two.
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
    // The epoch zero does not parse.
    let position = text.parse().ok()?;
    Some(Trailer { position, partial: first & PARTIAL != 0 })
}

fn two_bits(white: u8) -> Option<u8> {
    WHITE.iter().position(|known| *known == white).map(|at| at as u8)
}

/// Returns the first digit of a trailer, which is an argument of the script.
pub(super) fn first_digit(partial: bool) -> [u8; 2] {
    pair(VERSION | if partial { PARTIAL } else { 0 })
}

fn pair(digit: u8) -> [u8; 2] {
    [WHITE[usize::from(digit >> 2 & 3)], WHITE[usize::from(digit & 3)]]
}

/// Returns the fields of a table in Lua that maps each hex digit to its two characters.
pub(crate) fn lua_digits() -> String {
    let mut fields = String::new();
    for digit in 0..16 {
        let (upper, lower) = (WHITE_IN_LUA[digit >> 2], WHITE_IN_LUA[digit & 3]);
        // Writing to a string does not fail.
        let _ = write!(fields, "['{digit:x}']='{upper}{lower}',");
    }
    fields
}

/// Returns a whole trailer, as this module and the script write it together.
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
    fn a_trailer_comes_back() {
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
    fn white_space_that_is_not_exactly_a_trailer_is_ignored() {
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
