//! A queue for each node, with a bound on the batches in flight.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// Items in order of arrival for each key, handed out in batches. Each key has its own bound on batches in flight, so that
/// an unavailable node delays no other.
#[derive(Debug)]
pub(crate) struct BackfillQueue<K, T> {
    batch_max: usize,
    in_flight_max: usize,
    /// No queue in it is empty.
    waiting: HashMap<K, VecDeque<T>>,
    /// No count in it is zero.
    in_flight: HashMap<K, usize>,
    /// The number of items taken out of a queue.
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

    /// Returns a batch of a key that is below its bound, and counts it as in flight.
    pub(crate) fn next_batch(&mut self) -> Option<(K, Vec<T>)> {
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

    /// Records that a batch has ended.
    pub(crate) fn batch_done(&mut self, key: &K) {
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

    /// While a node had as many batches in flight as it may, every other event moved its whole queue out and back in: with
    /// 100,000 channels a reconnect took minutes of CPU.
    #[test]
    fn an_item_is_moved_once_however_often_nothing_can_begin() {
        const ITEMS: usize = 50_000;
        let mut queue = BackfillQueue::new(32, 8);
        (0..ITEMS).for_each(|item| queue.push("node", item));
        let (mut begun, mut in_flight) = (Vec::new(), 0);
        while begun.len() < ITEMS || in_flight > 0 {
            while let Some((_, batch)) = queue.next_batch() {
                assert!(batch.len() <= 32);
                begun.extend(batch);
                in_flight += 1;
            }
            assert!(in_flight <= 8);
            assert_eq!(queue.moves, begun.len());
            queue.batch_done(&"node");
            in_flight -= 1;
        }
        assert!(begun.into_iter().eq(0..ITEMS));
        assert_eq!(queue.moves, ITEMS);
        assert!(queue.waiting.is_empty() && queue.in_flight.is_empty());
    }

    #[test]
    fn a_key_at_its_bound_delays_no_other() {
        let mut queue = BackfillQueue::new(2, 1);
        [("down", 1), ("down", 2), ("down", 3)].into_iter().for_each(|(key, item)| queue.push(key, item));
        assert_eq!(queue.next_batch(), Some(("down", vec![1, 2])));
        assert_eq!(queue.next_batch(), None);
        queue.push("up", 4);
        assert_eq!(queue.next_batch(), Some(("up", vec![4])));
        assert_eq!(queue.next_batch(), None);
        queue.batch_done(&"down");
        assert_eq!(queue.next_batch(), Some(("down", vec![3])));
    }
}
