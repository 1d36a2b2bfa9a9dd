//! Checks that every subscriber receives every event of its channels once, in order and unchanged.
//!
//! Each subscriber has an entry for each of its channels: the next number. Any other number is rare: a gap is
//! remembered, and a later event that fits into a gap was reordered, not lost.

use std::{collections::HashMap, ops::Range};

/// The number of faults by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) reordered: u64,
    /// Events that were not published, or not to a channel of this subscriber.
    pub(crate) garbled: u64,
}

/// The next number of each entry, and the faults so far.
#[derive(Debug)]
pub(crate) struct Checker {
    next: Vec<u32>,
    /// The numbers of each entry that were skipped and have not arrived since.
    gaps: HashMap<usize, Vec<Range<u32>>>,
    faults: Faults,
}

impl Checker {
    pub(crate) fn new(entries: usize) -> Self {
        Self { next: vec![0; entries], gaps: HashMap::new(), faults: Faults::default() }
    }

    /// Records the arrival of a number. Returns whether it is the first.
    pub(crate) fn note(&mut self, entry: usize, number: u32, published: u32) -> bool {
        let next = &mut self.next[entry];
        if number == *next && number < published {
            *next += 1;
            return true;
        }
        if number >= published {
            self.faults.garbled += 1;
            return false;
        }
        if number > *next {
            self.gaps.entry(entry).or_default().push(*next..number);
            *next = number + 1;
            return true;
        }
        let gaps = self.gaps.entry(entry).or_default();
        let Some(at) = gaps.iter().position(|gap| gap.contains(&number)) else {
            self.faults.doubled += 1;
            return false;
        };
        let gap = gaps.swap_remove(at);
        gaps.extend([gap.start..number, number + 1..gap.end].into_iter().filter(|rest| !rest.is_empty()));
        self.faults.reordered += 1;
        true
    }

    /// Records an event that the bench did not publish.
    pub(crate) fn note_garbled(&mut self) {
        self.faults.garbled += 1;
    }

    /// Returns the faults if nothing more arrives. `published` returns the number of events of an entry's channel.
    pub(crate) fn faults(&self, published: impl Fn(usize) -> u32) -> Faults {
        let passed_over = self.gaps.values().flatten().map(|gap| u64::from(gap.end - gap.start)).sum::<u64>();
        let behind =
            self.next.iter().enumerate().map(|(entry, next)| u64::from(published(entry).saturating_sub(*next)));
        Faults { lost: passed_over + behind.sum::<u64>(), ..self.faults }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the faults if one subscriber receives these of the numbers 0 to 4.
    fn faults(numbers: &[u32]) -> Faults {
        let mut checker = Checker::new(1);
        for &number in numbers {
            checker.note(0, number, 5);
        }
        checker.faults(|_| 5)
    }

    #[test]
    fn all_events_in_order_are_no_fault() {
        assert_eq!(faults(&[0, 1, 2, 3, 4]), Faults::default());
    }

    #[test]
    fn missing_events_are_lost() {
        assert_eq!(faults(&[1, 2, 3, 4]), Faults { lost: 1, ..Faults::default() });
        assert_eq!(faults(&[0, 3, 4]), Faults { lost: 2, ..Faults::default() });
        assert_eq!(faults(&[0, 1, 2]), Faults { lost: 2, ..Faults::default() });
        assert_eq!(faults(&[]), Faults { lost: 5, ..Faults::default() });
    }

    #[test]
    fn repeated_events_are_doubled() {
        assert_eq!(faults(&[0, 1, 1, 2, 3, 4]), Faults { doubled: 1, ..Faults::default() });
        assert_eq!(faults(&[0, 1, 2, 3, 4, 0, 1]), Faults { doubled: 2, ..Faults::default() });
    }

    #[test]
    fn late_events_are_reordered_and_not_lost() {
        assert_eq!(faults(&[0, 2, 1, 3, 4]), Faults { reordered: 1, ..Faults::default() });
        assert_eq!(faults(&[4, 3, 2, 1, 0]), Faults { reordered: 4, ..Faults::default() });
        assert_eq!(faults(&[0, 4, 2, 2]), Faults { lost: 2, reordered: 1, doubled: 1, garbled: 0 });
    }

    #[test]
    fn events_that_were_not_published_are_garbled() {
        assert_eq!(faults(&[0, 1, 2, 3, 4, 5]), Faults { garbled: 1, ..Faults::default() });
    }

    #[test]
    fn entries_are_checked_separately() {
        let mut checker = Checker::new(2);
        assert!(checker.note(0, 0, 1));
        assert!(checker.note(1, 0, 2));
        assert!(!checker.note(0, 0, 1));
        assert_eq!(checker.faults(|entry| entry as u32 + 1), Faults { lost: 1, doubled: 1, ..Faults::default() });
    }
}
