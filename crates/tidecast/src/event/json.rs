//! The bounds of data that is published as JSON.
//!
//! JSON sets none of its own, and readers do: Python's `json` ends with an exception on deep nesting and on long
//! integers, and most recursive parsers on deep nesting.

use memchr::memchr2;

use crate::{
    Error, Result,
    limits::{JSON_DEPTH_MAX, JSON_NUMBER_DIGITS_MAX},
};

/// Checks the nesting and the numbers of a JSON text, in one pass without recursion.
///
/// `json` must be valid JSON; of other text it checks what looks like it.
pub(crate) fn check(json: &str) -> Result<()> {
    const WHAT: &str = "event data";
    // Brackets come in pairs, so this is too short for either, and most data is.
    if json.len() <= 2 * JSON_DEPTH_MAX {
        return Ok(());
    }
    let bytes = json.as_bytes();
    let (mut at, mut depth, mut digits) = (0, 0_usize, 0);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'0'..=b'9' => digits += 1,
            // Between the digits of one number; in `true` and `false` there are none to count.
            b'+' | b'-' | b'.' | b'e' | b'E' => {}
            _ => digits = 0,
        }
        match byte {
            b'"' => at = string_end(bytes, at + 1),
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > JSON_DEPTH_MAX {
            let why = format!("is JSON nested deeper than {JSON_DEPTH_MAX} levels, at byte {at}");
            return Err(Error::invalid(WHAT, why));
        }
        if digits > JSON_NUMBER_DIGITS_MAX {
            let why = format!(
                "has a JSON number of more than {JSON_NUMBER_DIGITS_MAX} digits, at byte {at}: send it as a string"
            );
            return Err(Error::invalid(WHAT, why));
        }
        at += 1;
    }
    Ok(())
}

/// Returns where the string ends whose first character is at `at`: at its closing quote, or at the end of the text.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if bytes[at] == b'"' {
            return at;
        }
        // A backslash and what it escapes.
        at += 2;
    }
    bytes.len()
}
