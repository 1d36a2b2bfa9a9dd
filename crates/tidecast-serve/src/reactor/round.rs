//! Passes: giving all readers of a channel what it has, some at a time, so that a channel with ten thousand of them does
//! not hold up one with two.

use std::collections::VecDeque;

use super::{
    connections::{Connections, Served},
    read_cache::Look,
    slab::Token,
};

/// How many readers are served before sockets, other threads and other channels have their turn.
const READERS_MAX: usize = 256;

/// The readers of each channel, by the key of its tap, and which channels have news.
#[derive(Debug, Default)]
pub(super) struct Channels {
    by_key: Vec<Readers>,
    /// Those with news, each once.
    queue: VecDeque<u32>,
}

#[derive(Debug, Default)]
struct Readers {
    tokens: Vec<Token>,
    pass: Pass,
}

/// A pass goes from the last reader to the first. A reader that leaves has its place taken by the last one, which has been
/// served, so no reader is passed over; one that comes is served when it comes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Pass {
    #[default]
    None,
    /// The channel is in the queue for the first time since there was news.
    Due,
    /// It has been begun: so many are left, and whether there was news since.
    Begun { left: usize, again: bool },
}

impl Channels {
    /// Says that a channel has news. A key that is used no more says nothing.
    pub(super) fn mark(&mut self, key: u32) {
        let Some(readers) = self.by_key.get_mut(key as usize) else { return };
        if readers.tokens.is_empty() && readers.pass == Pass::None {
            return;
        }
        match &mut readers.pass {
            Pass::None => {
                readers.pass = Pass::Due;
                self.queue.push_back(key);
            }
            Pass::Due => {}
            Pass::Begun { again, .. } => *again = true,
        }
    }

    pub(super) fn mark_all(&mut self) {
        for key in 0..self.by_key.len() as u32 {
            self.mark(key);
        }
    }

    pub(super) fn has_work(&self) -> bool {
        !self.queue.is_empty()
    }

    /// How many readers a channel has.
    pub(super) fn readers(&self, key: u32) -> usize {
        self.by_key.get(key as usize).map_or(0, |readers| readers.tokens.len())
    }

    /// Adds a reader, and answers with its place in the list.
    pub(super) fn join(&mut self, key: u32, token: Token) -> u32 {
        let at = key as usize;
        if self.by_key.len() <= at {
            self.by_key.resize_with(at + 1, Readers::default);
        }
        let tokens = &mut self.by_key[at].tokens;
        tokens.push(token);
        tokens.len() as u32 - 1
    }

    /// Removes the reader at a place; answers with who has come into its place.
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

    /// The next to be served in a channel's pass, which is begun if it is not; `None` at its end.
    fn next(&mut self, key: u32) -> Option<Token> {
        let readers = self.by_key.get_mut(key as usize)?;
        let (left, again) = match readers.pass {
            Pass::Begun { left, again } => (left.min(readers.tokens.len()), again),
            Pass::None | Pass::Due => (readers.tokens.len(), false),
        };
        let (left, again) = match left.checked_sub(1) {
            Some(left) => (left, again),
            // There was news since it began, which those who came first have not been given.
            None if again => (readers.tokens.len().checked_sub(1)?, false),
            None => return None,
        };
        readers.pass = Pass::Begun { left, again };
        readers.tokens.get(left).copied()
    }

    fn finish(&mut self, key: u32) {
        if let Some(readers) = self.by_key.get_mut(key as usize) {
            readers.pass = Pass::None;
        }
    }
}

impl Connections {
    /// Serves readers of the channels that have news, each channel in its turn.
    pub(super) fn serve_channels(&mut self) {
        let mut budget = READERS_MAX;
        while budget > 0 {
            let Some(key) = self.channels.queue.pop_front() else { break };
            if !self.serve_channel(key, &mut budget) {
                self.channels.queue.push_back(key);
            }
        }
    }

    /// Serves the readers of one channel at once, where they are few and nothing else waits.
    pub(super) fn serve_now(&mut self, key: u32) {
        self.channels.mark(key);
        self.serve_channels();
    }

    /// Goes on with a channel's pass; tells whether it has come to its end.
    fn serve_channel(&mut self, key: u32, budget: &mut usize) -> bool {
        let mut look = Look::default();
        let mut unfinished = false;
        let ended = loop {
            let Some(token) = self.channels.next(key) else { break true };
            unfinished |= self.serve_standing(token, &mut look) == Served::More;
            *budget -= 1;
            if *budget == 0 {
                break false;
            }
        };
        look.count(&self.taps, key);
        if ended {
            self.channels.finish(key);
        }
        if unfinished {
            self.channels.mark(key);
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: u64) -> Token {
        Token::from_u64(number)
    }

    fn served(channels: &mut Channels, key: u32, times: usize) -> Vec<u64> {
        std::iter::from_fn(|| channels.next(key)).map(Token::as_u64).take(times).collect()
    }

    /// Whoever leaves during a pass, nobody is passed over.
    #[test]
    fn who_leaves_has_nobody_passed_over() {
        for leaving in 0..10_u64 {
            for served_before in 0..10 {
                let mut channels = Channels::default();
                let mut places: Vec<_> = (0..10).collect();
                for number in 0..10 {
                    channels.join(0, token(number));
                }
                channels.mark(0);
                let mut seen = served(&mut channels, 0, served_before);
                let index = places.iter().position(|number| *number == leaving).unwrap();
                places.swap_remove(index);
                let moved = channels.leave(0, index as u32);
                assert_eq!(moved.map(Token::as_u64), places.get(index).copied());
                seen.extend(served(&mut channels, 0, usize::MAX));
                for number in 0..10 {
                    assert!(number == leaving || seen.contains(&number), "{number} after {leaving} left");
                }
            }
        }
    }

    #[test]
    fn news_during_a_pass_begins_another() {
        let mut channels = Channels::default();
        for number in 0..4 {
            channels.join(7, token(number));
        }
        channels.mark(7);
        channels.mark(7);
        assert_eq!(channels.queue, [7]);
        assert_eq!(served(&mut channels, 7, 2), [3, 2]);
        channels.mark(7);
        assert_eq!(channels.queue, [7]);
        assert_eq!(served(&mut channels, 7, usize::MAX), [1, 0, 3, 2, 1, 0]);
        channels.finish(7);
        assert!(served(&mut channels, 8, usize::MAX).is_empty());
    }

    #[test]
    fn a_key_without_readers_says_nothing() {
        let mut channels = Channels::default();
        channels.mark(3);
        channels.join(3, token(1));
        assert_eq!(channels.leave(3, 0), None);
        assert_eq!(channels.leave(3, 0), None);
        channels.mark(3);
        assert!(!channels.has_work());
        // One whose last reader leaves while it is in the queue is no trouble.
        channels.join(3, token(2));
        channels.mark(3);
        channels.leave(3, 0);
        assert_eq!(channels.next(3), None);
    }
}
