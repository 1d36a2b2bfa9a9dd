//! Work that waits for its turn at a node, in a queue for each.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// Items in the order in which they came to each key, handed out in batches. A key has a bound on how many of its batches
/// are under way at once, so that a node that is away keeps none of the others waiting.
#[derive(Debug)]
pub(crate) struct BackfillQueue<K, T> {
    batch_max: usize,
    in_flight_max: usize,
    /// None is empty.
    waiting: HashMap<K, VecDeque<T>>,
    /// None is zero.
    in_flight: HashMap<K, usize>,
    /// How many items were taken out of a queue.
    #[cfg(test)]
    moves: usize,
}

impl<K: Clone + Eq + Hash, T> BackfillQueue<K, T> {
    pub(crate) fn new(batch_max: usize, in_flight_max: usize) -> Self {
        Self {
            batch_max,
            in_flight_max,
            waiting: HashMap::new(),
            in_flight: HashMap::new(),
            #[cfg(test)]
            moves: 0,
        }
    }

    pub(crate) fn push(&mut self, key: K, item: T) {
        self.waiting.entry(key).or_default().push_back(item);
    }

    /// Returns the next batch of a key that may have another one under way, which it then is.
    pub(crate) fn begin(&mut self) -> Option<(K, Vec<T>)> {
        let may_begin = |key: &K| self.in_flight.get(key).is_none_or(|count| *count < self.in_flight_max);
        let key = self.waiting.keys().find(|key| may_begin(key))?.clone();
        let queue = self.waiting.get_mut(&key)?;
        let batch: Vec<T> = queue.drain(..queue.len().min(self.batch_max)).collect();
        if queue.is_empty() {
            self.waiting.remove(&key);
        }
        #[cfg(test)]
        {
            self.moves += batch.len();
        }
        *self.in_flight.entry(key.clone()).or_default() += 1;
        Some((key, batch))
    }

    /// Takes note that a batch has ended.
    pub(crate) fn ended(&mut self, key: &K) {
        if let Some(count) = self.in_flight.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                self.in_flight.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// While a node had as many fills under way as it may, whatever else happened moved its whole queue out and back in:
    /// with 100,000 channels a reconnect took minutes of CPU.
    #[test]
    fn an_item_is_moved_once_however_often_nothing_can_begin() {
        const ITEMS: usize = 50_000;
        let mut queue = BackfillQueue::new(32, 8);
        (0..ITEMS).for_each(|item| queue.push("node", item));
        let (mut begun, mut in_flight) = (Vec::new(), 0);
        while begun.len() < ITEMS || in_flight > 0 {
            while let Some((_, batch)) = queue.begin() {
                assert!(batch.len() <= 32);
                begun.extend(batch);
                in_flight += 1;
            }
            assert!(in_flight <= 8);
            assert_eq!(queue.moves, begun.len());
            queue.ended(&"node");
            in_flight -= 1;
        }
        assert!(begun.into_iter().eq(0..ITEMS));
        assert_eq!(queue.moves, ITEMS);
        assert!(queue.waiting.is_empty() && queue.in_flight.is_empty());
    }

    #[test]
    fn a_key_at_its_bound_keeps_no_other_waiting() {
        let mut queue = BackfillQueue::new(2, 1);
        [("away", 1), ("away", 2), ("away", 3)].into_iter().for_each(|(key, item)| queue.push(key, item));
        assert_eq!(queue.begin(), Some(("away", vec![1, 2])));
        assert_eq!(queue.begin(), None);
        queue.push("here", 4);
        assert_eq!(queue.begin(), Some(("here", vec![4])));
        assert_eq!(queue.begin(), None);
        queue.ended(&"away");
        assert_eq!(queue.begin(), Some(("away", vec![3])));
    }
}
