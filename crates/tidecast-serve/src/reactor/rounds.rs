//! Rounds: the readers of a group are served some at a time, so that a channel with ten thousand of them does not delay
//! one with two.

use std::collections::VecDeque;

use super::slab::Token;

/// The readers of each group, by its key, and the groups with new events.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    by_key: Vec<GroupReaders>,
    /// The groups with new events, each once.
    queue: VecDeque<u32>,
}

#[derive(Debug, Default)]
struct GroupReaders {
    tokens: Vec<Token>,
    round: Round,
}

/// A round goes from the last reader to the first. If a reader leaves, the last one, which was served already, takes its
/// index, so no reader is skipped. A reader that joins is served when it does.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Round {
    #[default]
    Idle,
    /// Queued, and not begun.
    Due,
    /// Begun: `left` readers are to be served, and then all of them if `again` is set by newer events.
    Begun { left: usize, again: bool },
}

impl Rounds {
    /// Notes that a group has new events. Does nothing for a key without readers.
    pub(super) fn mark(&mut self, key: u32) {
        let Some(readers) = self.by_key.get_mut(key as usize) else { return };
        if readers.tokens.is_empty() && readers.round == Round::Idle {
            return;
        }
        match &mut readers.round {
            Round::Idle => {
                readers.round = Round::Due;
                self.queue.push_back(key);
            }
            Round::Due => {}
            Round::Begun { again, .. } => *again = true,
        }
    }

    pub(super) fn mark_all(&mut self) {
        for key in 0..self.by_key.len() as u32 {
            self.mark(key);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes the next group out of the queue.
    pub(super) fn pop(&mut self) -> Option<u32> {
        self.queue.pop_front()
    }

    /// Puts a group back whose round has not ended.
    pub(super) fn requeue(&mut self, key: u32) {
        self.queue.push_back(key);
    }

    /// Returns how many readers a group has.
    pub(super) fn readers(&self, key: u32) -> usize {
        self.by_key.get(key as usize).map_or(0, |readers| readers.tokens.len())
    }

    /// Adds a reader. Returns its index in the list.
    pub(super) fn join(&mut self, key: u32, token: Token) -> u32 {
        let at = key as usize;
        if self.by_key.len() <= at {
            self.by_key.resize_with(at + 1, GroupReaders::default);
        }
        let tokens = &mut self.by_key[at].tokens;
        tokens.push(token);
        tokens.len() as u32 - 1
    }

    /// Removes the reader at an index. Returns the reader that has its index now.
    pub(super) fn leave(&mut self, key: u32, index: u32) -> Option<Token> {
        let readers = self.by_key.get_mut(key as usize)?;
        let index = index as usize;
        if index >= readers.tokens.len() {
            return None;
        }
        readers.tokens.swap_remove(index);
        if readers.tokens.is_empty() {
            readers.tokens = Vec::new();
        }
        readers.tokens.get(index).copied()
    }

    /// Returns the next reader of a group's round, or `None` at the end of the round.
    pub(super) fn next(&mut self, key: u32) -> Option<Token> {
        let readers = self.by_key.get_mut(key as usize)?;
        let (left, again) = match readers.round {
            Round::Begun { left, again } => (left.min(readers.tokens.len()), again),
            Round::Idle | Round::Due => (readers.tokens.len(), false),
        };
        let (left, again) = match left.checked_sub(1) {
            Some(left) => (left, again),
            // Newer events came, which the readers served before have not been given.
            None if again => (readers.tokens.len().checked_sub(1)?, false),
            None => return None,
        };
        readers.round = Round::Begun { left, again };
        readers.tokens.get(left).copied()
    }

    /// Ends a group's round.
    pub(super) fn finish(&mut self, key: u32) {
        if let Some(readers) = self.by_key.get_mut(key as usize) {
            readers.round = Round::Idle;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: u64) -> Token {
        Token::from_u64(number)
    }

    fn served(rounds: &mut Rounds, key: u32, times: usize) -> Vec<u64> {
        std::iter::from_fn(|| rounds.next(key)).map(Token::as_u64).take(times).collect()
    }

    #[test]
    fn a_reader_that_leaves_during_a_round_lets_none_be_skipped() {
        for leaving in 0..10_u64 {
            for served_before in 0..10 {
                let mut rounds = Rounds::default();
                let mut order: Vec<_> = (0..10).collect();
                for number in 0..10 {
                    rounds.join(0, token(number));
                }
                rounds.mark(0);
                let mut seen = served(&mut rounds, 0, served_before);
                let index = order.iter().position(|number| *number == leaving).unwrap();
                order.swap_remove(index);
                let moved = rounds.leave(0, index as u32);
                assert_eq!(moved.map(Token::as_u64), order.get(index).copied());
                seen.extend(served(&mut rounds, 0, usize::MAX));
                for number in 0..10 {
                    assert!(number == leaving || seen.contains(&number), "{number} after {leaving} left");
                }
            }
        }
    }

    #[test]
    fn new_events_during_a_round_begin_another() {
        let mut rounds = Rounds::default();
        for number in 0..4 {
            rounds.join(7, token(number));
        }
        rounds.mark(7);
        rounds.mark(7);
        assert_eq!(rounds.queue, [7]);
        assert_eq!(served(&mut rounds, 7, 2), [3, 2]);
        rounds.mark(7);
        assert_eq!(rounds.queue, [7]);
        assert_eq!(served(&mut rounds, 7, usize::MAX), [1, 0, 3, 2, 1, 0]);
        rounds.finish(7);
        assert!(served(&mut rounds, 8, usize::MAX).is_empty());
    }

    #[test]
    fn a_key_without_readers_is_ignored() {
        let mut rounds = Rounds::default();
        rounds.mark(3);
        rounds.join(3, token(1));
        assert_eq!(rounds.leave(3, 0), None);
        assert_eq!(rounds.leave(3, 0), None);
        rounds.mark(3);
        assert!(rounds.is_empty());
        // The last reader may leave while the group is queued.
        rounds.join(3, token(2));
        rounds.mark(3);
        rounds.leave(3, 0);
        assert_eq!(rounds.next(3), None);
    }
}
