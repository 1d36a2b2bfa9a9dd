//! The limits of data that is published as JSON.
//!
//! JSON itself has no limits, but readers do: Python's `json` raises an exception on deep nesting and on long integers, and
//! most recursive parsers fail on deep nesting.

use memchr::memchr2;

use crate::{
    Error, Result,
    limits::{JSON_DEPTH_MAX, JSON_NUMBER_DIGITS_MAX},
};

/// Checks the nesting and the numbers of a JSON text, in one pass without recursion.
///
/// `json` must be valid JSON. Of other text, it checks the parts that look like JSON.
pub(crate) fn check(json: &str) -> Result<()> {
    const WHAT: &str = "event data";
    // Brackets come in pairs, so most data is too short to exceed either limit.
    if json.len() <= 2 * JSON_DEPTH_MAX {
        return Ok(());
    }
    let bytes = json.as_bytes();
    let (mut at, mut depth, mut digits) = (0, 0_usize, 0);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'0'..=b'9' => digits += 1,
            // These come between the digits of one number; in `true` and `false` there are no digits.
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

/// Returns the index of the closing quote of the string whose first character is at `at`, or the length of the text.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if bytes[at] == b'"' {
            return at;
        }
        // A backslash and the character that it escapes.
        at += 2;
    }
    bytes.len()
}
