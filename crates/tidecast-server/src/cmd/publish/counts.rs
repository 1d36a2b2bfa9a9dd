//! Counts the outcome of every line.

use std::fmt;

use crate::observe::terminal::print_error;

/// Number of rejected lines that are named.
const NAMED_MAX: u64 = 20;

/// Number of ranges of unknown lines that are named.
const RANGES_MAX: usize = 50;

/// Counts of lines. Each line that was read is published, rejected, of unknown fate, or not sent.
#[derive(Debug, Default)]
pub(super) struct LineCounts {
    pub(super) read: u64,
    /// Published exactly once.
    pub(super) published: u64,
    /// Not events.
    pub(super) rejected: u64,
    /// Ranges of lines that may be published never, once or twice.
    unknown: Vec<(u64, u64)>,
}

impl LineCounts {
    /// Counts a line that is not an event, and prints the reason.
    pub(super) fn reject(&mut self, line: u64, why: &str) {
        self.rejected += 1;
        if self.rejected <= NAMED_MAX {
            print_error(format_args!("error: line {line} was refused: {why}"));
        } else if self.rejected == NAMED_MAX + 1 {
            print_error(format_args!("error: more lines were refused; they are only counted"));
        }
    }

    /// Counts a line whose fate is unknown.
    pub(super) fn mark_unknown(&mut self, line: u64) {
        match self.unknown.last_mut() {
            Some((_, last)) if *last + 1 == line => *last = line,
            _ => self.unknown.push((line, line)),
        }
    }

    pub(super) fn unknown(&self) -> u64 {
        self.unknown.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// Describes the lines whose fate is unknown, if there are any.
    pub(super) fn unknown_lines(&self) -> Option<String> {
        if self.unknown.is_empty() {
            return None;
        }
        let ranges = self.unknown.iter().take(RANGES_MAX).map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        });
        let more = if self.unknown.len() > RANGES_MAX { ", …" } else { "" };
        let plural = if self.unknown() == 1 { "" } else { "s" };
        Some(format!("line{plural} {}{more}", ranges.collect::<Vec<_>>().join(", ")))
    }
}

impl fmt::Display for LineCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unknown, plural) = (self.unknown(), if self.read == 1 { "" } else { "s" });
        write!(f, "published {} of {} line{plural}", self.published, self.read)?;
        let not_sent = self.read - self.published - self.rejected - unknown;
        for (count, what) in [(self.rejected, "refused"), (unknown, "of unknown fate"), (not_sent, "not sent")] {
            if count > 0 {
                write!(f, "; {count} {what}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::LineCounts;

    #[test]
    fn the_counts_add_up_and_lines_are_named_in_ranges() {
        let mut counts = LineCounts { read: 20, published: 12, rejected: 1, ..LineCounts::default() };
        assert_eq!(counts.unknown_lines(), None);
        for line in [3, 4, 5, 9] {
            counts.mark_unknown(line);
        }
        assert_eq!(counts.unknown_lines().unwrap(), "lines 3-5, 9");
        assert_eq!(counts.to_string(), "published 12 of 20 lines; 1 refused; 4 of unknown fate; 3 not sent");
        assert_eq!(LineCounts { read: 1, published: 1, ..LineCounts::default() }.to_string(), "published 1 of 1 line");
    }
}
