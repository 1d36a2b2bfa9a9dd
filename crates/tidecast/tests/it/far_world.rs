//! The world of [`far_model`](crate::far_model): nodes on one server, and browsers that take the steps and check their
//! deliveries.

use std::{sync::Arc, time::Duration};

use tidecast::{Cursor, Event, Hub, Limits, Position, STREAM_RESET, clock::ManualClock, wire::Message};

use crate::{
    far::{Answers, FarBroker},
    far_model::{CHANNELS, NODES, Place, READERS, Step, Truth},
    far_server::{Sent, Server},
    support::{Browser, default_with, name, publish, resumed_at},
};

struct Node {
    hub: Hub,
    broker: Arc<FarBroker>,
    clock: Arc<ManualClock>,
    /// Whether readers of a channel need not wait here.
    live: [bool; CHANNELS.len()],
    late: bool,
}

struct Reader {
    channels: &'static [usize],
    browser: Option<Browser>,
    last_event_id: String,
    node: usize,
    places: Vec<Place>,
    /// It started as soon as it came, so that it must get the foreign events from then on.
    began: bool,
}

pub(crate) struct World {
    server: Arc<Server>,
    nodes: Vec<Node>,
    readers: Vec<Reader>,
    truth: Truth,
    /// Streams belong to reader groups while they can.
    is_grouped: bool,
    labels: usize,
    /// The newest event of each channel that was sent to the nodes, whether the server still has it or not.
    sent_last: [Position; CHANNELS.len()],
}

impl World {
    pub(crate) fn new(log_events_max: usize, is_grouped: bool) -> Self {
        let server = Arc::<Server>::default();
        let node = |_| {
            let (broker, clock) = (Arc::new(FarBroker::on(server.clone())), Arc::new(ManualClock::default()));
            broker.lag();
            let limits = default_with!(Limits { log_events_max });
            let hub = Hub::builder().limits(limits).clock(clock.clone()).broker(broker.clone()).build();
            Node { hub, broker, clock, live: [false; CHANNELS.len()], late: false }
        };
        let sets: [&[usize]; READERS] = [&[0], &[1], &[0, 1], &[1, 0]];
        let reader = |channels: &&'static [usize]| Reader {
            channels,
            browser: None,
            last_event_id: String::new(),
            node: 0,
            places: Vec::new(),
            began: false,
        };
        let nodes = (0..NODES).map(node).collect();
        Self {
            nodes,
            readers: sets.iter().map(reader).collect(),
            server,
            truth: Truth::default(),
            is_grouped,
            labels: 0,
            sent_last: [Position::START; CHANNELS.len()],
        }
    }

    pub(crate) fn step(&mut self, step: &Step) {
        self.take(step);
        for reader in &mut self.readers {
            let hub = &self.nodes[reader.node].hub;
            for (place, channel) in reader.places.iter_mut().zip(reader.channels) {
                if let Some(here) = hub.channel(&name(CHANNELS[*channel])) {
                    place.note_epoch(here.head.epoch);
                }
            }
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Publish { channel, node, times } => (0..times).for_each(|_| self.publish(channel, node)),
            Step::Foreign { channel } => {
                let label = self.label("old");
                self.truth.send_foreign(self.sent_last[channel], label.clone());
                self.server.send_foreign(&name(CHANNELS[channel]), Event::text(label));
            }
            Step::Deliver { channel, node, count } => (0..count).for_each(|_| self.deliver(channel, node)),
            Step::Miss { channel, node, count } => self.nodes[node].broker.miss(CHANNELS[channel], count),
            Step::MissAll { channel, node } => {
                if self.nodes[node].broker.listens(CHANNELS[channel]) {
                    self.nodes[node].broker.miss_all(CHANNELS[channel]);
                }
            }
            Step::Trim { channel, keep } => {
                let lost = self.head(channel).offset.saturating_sub(keep as u64);
                self.truth.trim(channel, lost);
                self.server.trim(&name(CHANNELS[channel]), keep);
            }
            Step::Restart { channel, lost } => {
                let before = self.head(channel);
                if before != Position::START {
                    let now = self.server.restart(&name(CHANNELS[channel]), lost);
                    self.truth.take_over(now.epoch, Position { offset: now.offset, ..before });
                }
            }
            Step::Suspend { channel, node } => {
                self.nodes[node].broker.deliveries().suspend(&name(CHANNELS[channel]));
                self.nodes[node].live[channel] = false;
            }
            Step::GoLive { channel, node } => self.go_live(channel, node),
            Step::Answer { node, late } => self.answer(node, late),
            Step::Connect { reader, node } => self.connect(reader, node),
            Step::Read { reader } => {
                self.read(reader, usize::MAX);
                self.check_caught_up(reader);
            }
            Step::ReadSome { reader, share } => self.read(reader, share),
            Step::Cut { reader } => self.readers[reader].browser = None,
            Step::Sweep { node } => {
                self.nodes[node].clock.advance(Duration::from_secs(1));
                self.nodes[node].hub.sweep();
            }
        }
    }

    /// Delivers everything, and lets every reader return and read everything.
    pub(crate) fn end(&mut self) {
        for reader in 0..READERS {
            if self.readers[reader].browser.is_none() {
                self.connect(reader, reader % NODES);
            }
        }
        for node in 0..NODES {
            self.answer(node, false);
            for channel in 0..CHANNELS.len() {
                // So that the node hears of the present epoch.
                self.publish(channel, node);
                self.go_live(channel, node);
            }
        }
        for node in 0..NODES {
            for channel in 0..CHANNELS.len() {
                while self.arrives_next(channel, node).is_some() {
                    self.deliver(channel, node);
                }
            }
        }
        for reader in 0..READERS {
            self.step(&Step::Read { reader });
            for (place, channel) in self.readers[reader].places.iter().zip(self.readers[reader].channels) {
                assert_eq!(place.at, Some(self.head(*channel)), "not everything came");
            }
        }
    }

    fn label(&mut self, kind: &str) -> String {
        self.labels += 1;
        format!("{kind} {}", self.labels)
    }

    fn head(&self, channel: usize) -> Position {
        self.server.head(&name(CHANNELS[channel])).position
    }

    fn publish(&mut self, channel: usize, node: usize) {
        let label = self.label("own");
        let position = publish(&self.nodes[node].hub, CHANNELS[channel], &label);
        self.truth.publish(position, label);
        self.sent_last[channel] = position;
    }

    fn go_live(&mut self, channel: usize, node: usize) {
        if self.nodes[node].broker.listens(CHANNELS[channel]) {
            self.nodes[node].broker.deliveries().go_live(&name(CHANNELS[channel]));
            self.nodes[node].live[channel] = true;
        }
    }

    fn answer(&mut self, node: usize, late: bool) {
        self.nodes[node].late = late;
        self.nodes[node].broker.answer(if late { Answers::Late } else { Answers::AtOnce });
    }

    fn arrives_next(&self, channel: usize, node: usize) -> Option<Sent> {
        self.nodes[node].broker.arrives_next(CHANNELS[channel])
    }

    fn deliver(&mut self, channel: usize, node: usize) {
        let next = self.arrives_next(channel, node);
        self.nodes[node].broker.deliver(CHANNELS[channel], 1);
        let Some(Sent::Foreign(event)) = next else { return };
        let label = event.data().to_owned();
        let here = self.nodes[node].hub.channel(&name(CHANNELS[channel])).expect("it listens").head;
        for reader in self.readers.iter_mut().filter(|reader| reader.node == node && reader.browser.is_some()) {
            let Some(index) = reader.channels.iter().position(|its| *its == channel) else { continue };
            let place = &mut reader.places[index];
            // A reader that waits for a position of another node has had the events before it there.
            let is_past = place.at.is_some_and(|at| at.epoch != here.epoch || at.offset > here.offset);
            place.arrived.push(label.clone());
            if reader.began && !is_past {
                place.owed.push(label.clone());
            }
        }
    }

    fn connect(&mut self, number: usize, node: usize) {
        let Self { nodes, readers, is_grouped, .. } = self;
        let (node_number, node, reader) = (node, &mut nodes[node], &mut readers[number]);
        reader.browser = None;
        for channel in reader.channels {
            // A channel that nobody listened to is opened for its first reader.
            node.live[*channel] |= !node.broker.listens(CHANNELS[*channel]);
        }
        let names: Vec<_> = reader.channels.iter().map(|channel| CHANNELS[*channel]).collect();
        let mut browser = Browser::new(&node.hub, &names);
        browser.is_grouped = *is_grouped;
        browser.last_event_id.clone_from(&reader.last_event_id);
        browser.connect();
        reader.began = reader.channels.iter().all(|channel| node.live[*channel]);
        let first_id = browser.first_id();
        assert_eq!(first_id.is_some(), reader.began || !reader.last_event_id.is_empty());
        let cursor = first_id.map(|id| id.parse::<Cursor>().expect("a cursor"));
        let place = |(index, channel): (usize, &&str)| {
            let at = cursor.as_ref().map(|cursor| cursor.positions()[index]);
            let here = node.hub.channel(&name(channel)).expect("it is read").head;
            Place { at, came_at: at, epochs: vec![here.epoch], ..Place::default() }
        };
        reader.places = names.iter().enumerate().map(place).collect();
        reader.node = node_number;
        reader.browser = Some(browser);
    }

    /// Reads everything that is ready, or a share of it, after which every other reader is cut.
    fn read(&mut self, number: usize, share: usize) {
        let bytes_max = 1 + self.labels * 7 % 500;
        let reader = &mut self.readers[number];
        for (place, channel) in reader.places.iter_mut().zip(reader.channels) {
            let channel = name(CHANNELS[*channel]);
            place.stood.push(self.server.head(&channel).position);
        }
        let Some(browser) = &mut reader.browser else { return };
        let take = match share {
            usize::MAX => usize::MAX,
            share => browser.unread_len(bytes_max) * share / 256,
        };
        let messages = browser.read_by(bytes_max, take);
        reader.last_event_id.clone_from(&browser.last_event_id);
        if share != usize::MAX && share.is_multiple_of(2) {
            reader.browser = None;
        }
        for message in messages {
            reader.hear(&message, &self.truth);
        }
        // A reader that started late was told its position at some point before all this.
        if let Ok(cursor) = reader.last_event_id.parse::<Cursor>() {
            for (place, position) in reader.places.iter_mut().zip(cursor.positions()) {
                // A channel that is still waited for has no position yet.
                if position.to_string() != "ffffffffffff.0" {
                    place.at.get_or_insert(*position);
                }
            }
        }
    }

    /// Checks that a reader that has read everything has every event of its node.
    fn check_caught_up(&self, number: usize) {
        let reader = &self.readers[number];
        let node = &self.nodes[reader.node];
        let begun = reader.began || reader.channels.iter().all(|channel| node.live[*channel]);
        if reader.browser.is_none() || !begun || node.late {
            return;
        }
        for (place, channel) in reader.places.iter().zip(reader.channels) {
            let here = node.hub.channel(&name(CHANNELS[*channel])).expect("it is read").head;
            let at = place.at.expect("it has begun");
            // It may have come from another node, which was in an epoch that this one has not heard of.
            let waits = at != Position::START && at.epoch != here.epoch && place.came_at == Some(at);
            assert!(place.has_reached(here) || waits, "at {at} of {here}: {place:?}");
            assert_eq!(place.owed, [""; 0], "something foreign did not come");
        }
    }
}

impl Reader {
    fn hear(&mut self, message: &Message, truth: &Truth) {
        if message.event_type == STREAM_RESET {
            let data: serde_json::Value = serde_json::from_str(&message.data).expect("JSON");
            let channel = CHANNELS.iter().position(|channel| data["channel"] == *channel).expect("a channel");
            let index = self.index(channel);
            let resumed_at = resumed_at(message);
            self.check_cursor(message, index, resumed_at);
            let reason = data["reason"].as_str().expect("a reason");
            self.places[index].reset(reason, resumed_at, truth.trimmed(channel));
        } else if let Some(after) = truth.foreign(&message.data) {
            let arrived = |place: &Place| place.arrived.contains(&message.data);
            let index = self.places.iter().position(arrived).unwrap_or_else(|| panic!("{message:?} is not due"));
            self.places[index].foreign(&message.data, after);
        } else {
            let cursor: Cursor = message.last_event_id.parse().expect("a cursor");
            let said = |position: &Position| truth.at(*position) == Some(&message.data);
            let index = cursor.positions().iter().position(said).expect("its position is in the cursor");
            let position = cursor.positions()[index];
            self.check_cursor(message, index, position);
            self.places[index].follow(position);
        }
    }

    fn index(&self, channel: usize) -> usize {
        self.channels.iter().position(|its| *its == channel).expect("one of its channels")
    }

    /// Checks that a cursor has the positions of the other channels that were told before.
    fn check_cursor(&self, message: &Message, moved: usize, position: Position) {
        let cursor: Cursor = message.last_event_id.parse().expect("a cursor");
        assert_eq!(cursor.positions().len(), self.places.len());
        assert_eq!(cursor.positions()[moved], position);
        for (index, (position, place)) in cursor.positions().iter().zip(&self.places).enumerate() {
            let same = place.at.is_none_or(|at| at == *position || (at == Position::START && position.offset == 0));
            assert!(index == moved || same, "{position} of {place:?}");
        }
    }
}
