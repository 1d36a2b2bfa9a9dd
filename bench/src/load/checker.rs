//! Whether every subscriber gets every event of its channels once, in order and as it was published.
//!
//! Each subscriber has a place for each of its channels: the number that is due. Anything else than that number is
//! rare, and looked at closely: a gap is remembered, and what comes later and fits into one was reordered, not lost.

use std::{collections::HashMap, ops::Range};

/// What went wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) reordered: u64,
    /// Neither an event that was published nor one of this subscriber's channels.
    pub(crate) garbled: u64,
}

/// What is due at each place, and what went wrong so far.
#[derive(Debug)]
pub(crate) struct Checker {
    due: Vec<u32>,
    /// Of each place, what was passed over and has not come since.
    gaps: HashMap<usize, Vec<Range<u32>>>,
    faults: Faults,
}

impl Checker {
    pub(crate) fn new(places: usize) -> Self {
        Self { due: vec![0; places], gaps: HashMap::new(), faults: Faults::default() }
    }

    /// Notes that this number came to this place. Answers whether it is the first time.
    pub(crate) fn note(&mut self, place: usize, number: u32, published: u32) -> bool {
        let due = &mut self.due[place];
        if number == *due && number < published {
            *due += 1;
            return true;
        }
        if number >= published {
            self.faults.garbled += 1;
            return false;
        }
        if number > *due {
            self.gaps.entry(place).or_default().push(*due..number);
            *due = number + 1;
            return true;
        }
        let gaps = self.gaps.entry(place).or_default();
        let Some(at) = gaps.iter().position(|gap| gap.contains(&number)) else {
            self.faults.doubled += 1;
            return false;
        };
        let gap = gaps.swap_remove(at);
        gaps.extend([gap.start..number, number + 1..gap.end].into_iter().filter(|rest| !rest.is_empty()));
        self.faults.reordered += 1;
        true
    }

    /// Notes an event that is none of ours.
    pub(crate) fn note_garbled(&mut self) {
        self.faults.garbled += 1;
    }

    /// What went wrong, if nothing comes any more. `published` says how many of a place's channel there were.
    pub(crate) fn faults(&self, published: impl Fn(usize) -> u32) -> Faults {
        let passed_over = self.gaps.values().flatten().map(|gap| u64::from(gap.end - gap.start)).sum::<u64>();
        let behind = self.due.iter().enumerate().map(|(place, due)| u64::from(published(place).saturating_sub(*due)));
        Faults { lost: passed_over + behind.sum::<u64>(), ..self.faults }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found if one subscriber is given these of the numbers 0 to 4.
    fn faults(numbers: &[u32]) -> Faults {
        let mut checker = Checker::new(1);
        for &number in numbers {
            checker.note(0, number, 5);
        }
        checker.faults(|_| 5)
    }

    #[test]
    fn all_in_order_is_no_fault() {
        assert_eq!(faults(&[0, 1, 2, 3, 4]), Faults::default());
    }

    #[test]
    fn what_never_comes_is_lost_wherever_it_was_due() {
        assert_eq!(faults(&[1, 2, 3, 4]), Faults { lost: 1, ..Faults::default() });
        assert_eq!(faults(&[0, 3, 4]), Faults { lost: 2, ..Faults::default() });
        assert_eq!(faults(&[0, 1, 2]), Faults { lost: 2, ..Faults::default() });
        assert_eq!(faults(&[]), Faults { lost: 5, ..Faults::default() });
    }

    #[test]
    fn what_comes_again_is_doubled() {
        assert_eq!(faults(&[0, 1, 1, 2, 3, 4]), Faults { doubled: 1, ..Faults::default() });
        assert_eq!(faults(&[0, 1, 2, 3, 4, 0, 1]), Faults { doubled: 2, ..Faults::default() });
    }

    #[test]
    fn what_comes_late_is_reordered_and_not_lost() {
        assert_eq!(faults(&[0, 2, 1, 3, 4]), Faults { reordered: 1, ..Faults::default() });
        assert_eq!(faults(&[4, 3, 2, 1, 0]), Faults { reordered: 4, ..Faults::default() });
        assert_eq!(faults(&[0, 4, 2, 2]), Faults { lost: 2, reordered: 1, doubled: 1, garbled: 0 });
    }

    #[test]
    fn what_was_never_published_is_garbled() {
        assert_eq!(faults(&[0, 1, 2, 3, 4, 5]), Faults { garbled: 1, ..Faults::default() });
    }

    #[test]
    fn places_are_checked_apart() {
        let mut checker = Checker::new(2);
        assert!(checker.note(0, 0, 1));
        assert!(checker.note(1, 0, 2));
        assert!(!checker.note(0, 0, 1));
        assert_eq!(checker.faults(|place| place as u32 + 1), Faults { lost: 1, doubled: 1, ..Faults::default() });
    }
}
