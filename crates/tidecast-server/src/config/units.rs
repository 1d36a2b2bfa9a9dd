//! Parses durations and sizes.

use std::time::Duration;

const TIMES: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
const SIZES: [(&str, usize); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)];

/// Parses `500ms`, `15s`, `5m`, `2h` or `0`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time: write a whole number with `ms`, `s`, `m` or `h`, or 0");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (number, unit) = split(text);
    let (_, millis) = TIMES.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(*millis).map(Duration::from_millis).ok_or_else(wrong)
}

/// Parses bytes, `64KiB`, `8MiB` or `1GiB`.
pub(crate) fn parse_bytes(text: &str) -> Result<usize, String> {
    let wrong = || format!("`{text}` is not a size: write a whole number, alone or with `KiB`, `MiB` or `GiB`");
    let (number, unit) = split(text);
    let unit = if unit.is_empty() { "B" } else { unit };
    let (_, bytes) = SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let number: usize = number.parse().map_err(|_| wrong())?;
    number.checked_mul(*bytes).ok_or_else(wrong)
}

fn split(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, millis) in [("0", 0), ("500ms", 500), ("15s", 15_000), ("5m", 300_000), ("2h", 7_200_000)] {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_millis(millis));
        }
        for text in ["", "15", "s", "-1s", "1.5s", "1 s", "99999999999999999h", "5min"] {
            assert!(parse_duration(text).unwrap_err().contains("is not a time"), "{text}");
        }
    }

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [("0", 0), ("17", 17), ("17B", 17), ("64KiB", 65_536), ("8MiB", 8_388_608)] {
            assert_eq!(parse_bytes(text).unwrap(), bytes);
        }
        for text in ["", "KiB", "1kb", "-1", "1.5MiB", "99999999999GiB"] {
            assert!(parse_bytes(text).unwrap_err().contains("is not a size"), "{text}");
        }
    }
}
