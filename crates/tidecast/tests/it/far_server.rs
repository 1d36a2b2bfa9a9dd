//! The server that all nodes of a [`FarBroker`](crate::far::FarBroker) share: each channel's history, and all events that were
//! sent there, in order.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use tidecast::{
    Channel, Epoch, Event, Position, Publication, Published,
    broker::{Head, History, PastEvent, Since},
};

/// Keeps the published events, until a test removes some.
#[derive(Debug, Default)]
pub(crate) struct Server {
    channels: Mutex<HashMap<Channel, Kept>>,
    /// With the digest of the event.
    answered: Mutex<HashMap<(Channel, String), (Published, u64)>>,
}

#[derive(Debug)]
struct Kept {
    head: Position,
    lineage: Vec<(Epoch, u64)>,
    /// The epoch of the next event, if another server has taken over.
    next_epoch: Option<Epoch>,
    events: VecDeque<(u64, Event)>,
    sent: Vec<Sent>,
}

/// A message to every node that listens.
#[derive(Debug, Clone)]
pub(crate) enum Sent {
    Own(Position, Event),
    Foreign(Event),
    Forgotten(Position),
}

impl Server {
    pub(crate) fn publish(&self, publication: &Publication, receivers: usize) -> Published {
        let key =
            publication.idempotency_key.as_ref().map(|key| (publication.channel.clone(), key.as_str().to_owned()));
        let mut answered = self.answered.lock();
        let digest = publication.event.digest();
        if let Some((first, its_digest)) = key.as_ref().and_then(|key| answered.get(key)) {
            let mut again = first.clone();
            again.repeated = true;
            again.differs = *its_digest != digest;
            return again;
        }
        let published = self.with(&publication.channel, |kept| {
            if let Some(epoch) = kept.next_epoch.take() {
                kept.lineage.insert(0, (kept.head.epoch, kept.head.offset));
                kept.head.epoch = epoch;
            } else if kept.head == Position::START {
                kept.head.epoch = Epoch::random();
            }
            kept.head.offset += 1;
            kept.events.push_back((kept.head.offset, publication.event.clone()));
            kept.sent.push(Sent::Own(kept.head, publication.event.clone()));
            Published::new(publication, kept.head, receivers)
        });
        if let Some(key) = key {
            answered.insert(key, (published.clone(), digest));
        }
        published
    }

    pub(crate) fn send_foreign(&self, channel: &Channel, event: Event) {
        self.with(channel, |kept| kept.sent.push(Sent::Foreign(event)));
    }

    /// Keeps only so many events.
    pub(crate) fn trim(&self, channel: &Channel, keep: usize) {
        self.with(channel, |kept| drop(kept.events.drain(..kept.events.len().saturating_sub(keep))));
    }

    /// Removes one event from the middle.
    pub(crate) fn take_out(&self, channel: &Channel, offset: u64) {
        self.with(channel, |kept| kept.events.retain(|(kept, _)| *kept != offset));
    }

    /// Lets another server take over, which never received the newest `lost` events, nor heard of an epoch all of whose events
    /// are lost. Offsets continue, with the next event in another epoch. Returns where that begins.
    pub(crate) fn restart(&self, channel: &Channel, lost: u64) -> Position {
        self.with(channel, |kept| {
            kept.head.offset -= lost.min(kept.head.offset);
            let offset = kept.head.offset;
            kept.events.retain(|(kept, _)| *kept <= offset);
            while kept.lineage.first().is_some_and(|(_, ended)| *ended >= offset) {
                kept.head.epoch = kept.lineage.remove(0).0;
            }
            let epoch = *kept.next_epoch.insert(Epoch::random());
            Position { epoch, offset }
        })
    }

    pub(crate) fn forget(&self, channel: &Channel) -> bool {
        self.answered.lock().retain(|(of, _), _| of != channel);
        self.with(channel, |kept| {
            let known = kept.head != Position::START;
            if known {
                kept.head = Position { epoch: Epoch::random(), offset: 0 };
                kept.events.clear();
                kept.lineage.clear();
                kept.next_epoch = None;
                kept.sent.push(Sent::Forgotten(kept.head));
            }
            known
        })
    }

    pub(crate) fn head(&self, channel: &Channel) -> Head {
        self.with(channel, |kept| Head::new(kept.head).with_lineage(kept.lineage.clone()))
    }

    /// Returns the number of messages so far.
    pub(crate) fn sent_len(&self, channel: &Channel) -> usize {
        self.with(channel, |kept| kept.sent.len())
    }

    pub(crate) fn sent(&self, channel: &Channel, at: usize) -> Option<Sent> {
        self.with(channel, |kept| kept.sent.get(at).cloned())
    }

    pub(crate) fn history(&self, channel: &Channel, since: Since, limit: usize) -> History {
        self.with(channel, |kept| {
            let past = |(offset, event): &(u64, Event)| {
                PastEvent::new(Position { offset: *offset, ..kept.head }, event.clone())
            };
            let after = match since {
                Since::Newest => {
                    let newest = kept.events.len().saturating_sub(limit);
                    return History::new(kept.events.range(newest..).map(past).collect(), true);
                }
                Since::After(position) if position == Position::START || position.epoch == kept.head.epoch => position,
                Since::After(_) => return History::new(Vec::new(), false),
            };
            let events = kept.events.iter().filter(|(offset, _)| *offset > after.offset).take(limit);
            let events: Vec<_> = events.map(past).collect();
            let begins = events.first().is_some_and(|first| first.position.offset == after.offset + 1);
            History::new(events, begins || after.offset == kept.head.offset).with_head(kept.head)
        })
    }

    fn with<T>(&self, channel: &Channel, act: impl FnOnce(&mut Kept) -> T) -> T {
        let mut channels = self.channels.lock();
        let kept = channels.entry(channel.clone()).or_insert_with(|| Kept {
            head: Position::START,
            lineage: Vec::new(),
            next_epoch: None,
            events: VecDeque::new(),
            sent: Vec::new(),
        });
        act(kept)
    }
}
