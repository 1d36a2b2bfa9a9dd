//! The server that all nodes share: assigns positions, stores events, and delivers them to the nodes.
//!
//! It stands for a database or a message bus, and runs in this process so that the example needs no other. Network
//! calls are function calls here, so none is lost or has to be repeated.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    mem,
};

use parking_lot::Mutex;
use tidecast::{
    Channel, Epoch, IdempotencyKey, Position, Publication, Published,
    broker::{AppendOutcome, Deliveries, EncodedEvent, Head, History, PastEvent, Since},
};

/// The most events that a channel keeps. Beyond it the oldest is dropped.
const EVENTS_MAX: usize = 1000;
/// The most idempotency keys that a channel remembers. Beyond it the oldest is forgotten.
const KEYS_MAX: usize = 1000;

/// The shared server. Its locks are held for a few look-ups, never across an `.await`.
#[derive(Debug, Default)]
pub(crate) struct Bus {
    rows: Mutex<HashMap<Channel, Row>>,
    /// Every node, whatever it reads.
    nodes: Mutex<BTreeMap<usize, Deliveries>>,
}

/// The state of a channel. A real server would also let idle channels expire.
#[derive(Debug)]
struct Row {
    /// The position of the newest event. Before the first event it has no epoch, so that channels which are only read
    /// need not be stored.
    head: Position,
    events: VecDeque<PastEvent>,
    keyed: VecDeque<Keyed>,
    /// The nodes that read the channel, each with the handle to deliver to.
    nodes: BTreeMap<usize, Deliveries>,
}

/// The answer to a publish with an idempotency key.
#[derive(Debug)]
struct Keyed {
    key: IdempotencyKey,
    digest: u64,
    published: Published,
}

impl Bus {
    pub(crate) fn publish(&self, publication: &Publication, receivers: usize) -> Published {
        let event = EncodedEvent::new(&publication.event);
        let mut rows = self.rows.lock();
        let row = rows.entry(publication.channel.clone()).or_default();
        if let Some(first) = row.repeated_answer(publication) {
            return first;
        }
        if row.head == Position::START {
            row.head.epoch = Epoch::random();
        }
        row.head.offset += 1;
        let position = row.head;
        push(&mut row.events, PastEvent::new(position, publication.event.clone()), EVENTS_MAX);
        let published = Published::new(publication, position, receivers);
        if let Some(key) = &publication.idempotency_key {
            let keyed = Keyed { key: key.clone(), digest: publication.event.digest(), published: published.clone() };
            push(&mut row.keyed, keyed, KEYS_MAX);
        }
        // Delivered under the lock, so that every node gets the events of a channel in the order of their positions.
        let deliver = |node| deliver(node, &publication.channel, position, &event);
        let outcomes: Vec<AppendOutcome> = row.nodes.values().map(deliver).collect();
        drop(rows);
        // Dropping the outcomes wakes the subscribers, so it happens without the lock.
        drop(outcomes);
        published
    }

    /// Delivers the channel's later events to the node.
    pub(crate) fn subscribe(&self, channel: &Channel, node: usize, deliveries: &Deliveries) {
        let mut rows = self.rows.lock();
        let row = rows.entry(channel.clone()).or_default();
        row.nodes.insert(node, deliveries.clone());
        deliveries.open_at(channel, &Head::new(row.head));
        deliveries.go_live(channel);
    }

    /// Stops delivery to the node, unless it has a subscriber again.
    pub(crate) fn unsubscribe(&self, channel: &Channel, node: usize, deliveries: &Deliveries) {
        let mut rows = self.rows.lock();
        let Some(row) = rows.get_mut(channel) else { return };
        if deliveries.suspend_if_unread(channel) {
            row.nodes.remove(&node);
            if row.nodes.is_empty() && row.head == Position::START {
                rows.remove(channel);
            }
        }
    }

    pub(crate) fn add_node(&self, node: usize, deliveries: Deliveries) {
        self.nodes.lock().insert(node, deliveries);
    }

    pub(crate) fn send_control(&self, message: &[u8]) {
        let nodes: Vec<Deliveries> = self.nodes.lock().values().cloned().collect();
        nodes.iter().for_each(|node| node.control(message));
    }

    pub(crate) fn remove_node(&self, node: usize) {
        self.nodes.lock().remove(&node);
        for row in self.rows.lock().values_mut() {
            row.nodes.remove(&node);
        }
    }

    pub(crate) fn history(&self, channel: &Channel, since: Since, limit: usize) -> History {
        let rows = self.rows.lock();
        let Some(row) = rows.get(channel) else {
            let complete = matches!(since, Since::Newest | Since::After(Position::START));
            return History::new(Vec::new(), complete);
        };
        let after = match since {
            Since::Newest => row.head.offset.saturating_sub(limit as u64),
            Since::After(Position::START) => 0,
            Since::After(position) if position.epoch == row.head.epoch => position.offset,
            // The epoch was deleted, or never existed.
            Since::After(_) => return History::new(Vec::new(), false).with_head(row.head),
        };
        let events = row.events.iter().filter(|event| event.position.offset > after).take(limit).cloned();
        let events: Vec<PastEvent> = events.collect();
        let follows = events.first().is_some_and(|first| first.position.offset == after + 1);
        let complete = follows || after == row.head.offset || matches!(since, Since::Newest);
        History::new(events, complete).with_head(row.head)
    }

    /// Deletes a channel's events. Returns whether the channel existed.
    pub(crate) fn forget(&self, channel: &Channel) -> bool {
        let mut rows = self.rows.lock();
        let Some(row) = rows.get_mut(channel) else { return false };
        let head = Position { epoch: Epoch::random(), offset: 0 };
        *row = Row { head, nodes: mem::take(&mut row.nodes), ..Row::default() };
        for node in row.nodes.values() {
            // The new epoch makes the node send its subscribers a reset.
            node.open_at(channel, &Head::new(row.head));
            node.go_live(channel);
        }
        true
    }
}

impl Row {
    /// Returns the first answer under the publication's idempotency key, marked as repeated.
    fn repeated_answer(&self, publication: &Publication) -> Option<Published> {
        let key = publication.idempotency_key.as_ref()?;
        let first = self.keyed.iter().find(|first| first.key == *key)?;
        let mut published = first.published.clone();
        published.repeated = true;
        published.differs = first.digest != publication.event.digest();
        Some(published)
    }
}

impl Default for Row {
    fn default() -> Self {
        Self { head: Position::START, events: VecDeque::new(), keyed: VecDeque::new(), nodes: BTreeMap::new() }
    }
}

fn deliver(node: &Deliveries, channel: &Channel, position: Position, event: &EncodedEvent<'_>) -> AppendOutcome {
    match node.append_at(channel, position, event) {
        AppendOutcome::Gap => {
            // The node has dropped the channel's log to save memory. Its log restarts right before this event, and its
            // subscribers get earlier events from the history.
            node.open_at(channel, &Head::new(Position { offset: position.offset - 1, ..position }));
            node.go_live(channel);
            node.append_at(channel, position, event)
        }
        outcome => outcome,
    }
}

fn push<T>(queue: &mut VecDeque<T>, value: T, max: usize) {
    if queue.len() >= max {
        queue.pop_front();
    }
    queue.push_back(value);
}
