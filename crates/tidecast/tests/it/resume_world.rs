//! The world of [`resume_model`](crate::resume_model): a hub, its clock, and readers that take the steps and check their
//! deliveries.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tidecast::{
    ChannelInfo, Delivery, Hub, Limits, Position, STREAM_RESET, Start, Subscription, clock::ManualClock, wire::Message,
};

use crate::{
    resume_model::{CHANNELS, Place, READERS, Step},
    support::{Browser, forget, hub_with, name, publish, publish_with_id, ready_next},
};

/// A reader: a browser, or a program that takes deliveries.
struct Reader {
    kind: Kind,
    channels: Vec<&'static str>,
    /// `None` before it has any id.
    places: Option<Vec<Place>>,
    /// Its position once the first block has arrived.
    beginning: Vec<Place>,
}

enum Kind {
    Browser(Box<Browser>),
    Program { subscription: Option<Subscription>, cursor: String },
}

pub(crate) struct World {
    hub: Hub,
    clock: Arc<ManualClock>,
    limits: Limits,
    positions: HashMap<String, (usize, Position)>,
    heads: HashMap<usize, Position>,
    readers: Vec<Reader>,
}

impl World {
    pub(crate) fn new(limits: Limits, is_grouped: bool) -> Self {
        let (hub, clock) = hub_with(limits.clone());
        let browser = |channels| {
            let mut browser = Browser::new(&hub, channels);
            browser.is_grouped = is_grouped;
            browser
        };
        let sets: [&[&'static str]; READERS] = [&["a"], &["a", "b", "c"], &["b"], &["c", "b"]];
        let readers = sets.iter().enumerate().map(|(number, channels)| Reader {
            kind: if number < 2 {
                Kind::Browser(Box::new(browser(channels)))
            } else {
                Kind::Program { subscription: None, cursor: String::new() }
            },
            channels: channels.to_vec(),
            places: None,
            beginning: Vec::new(),
        });
        let readers = readers.collect();
        Self { hub, clock, limits, positions: HashMap::new(), heads: HashMap::new(), readers }
    }

    pub(crate) fn step(&mut self, step: &Step) {
        match *step {
            Step::Publish { channel, own_id, len, times } => {
                for _ in 0..times {
                    self.publish(channel, own_id, len);
                }
            }
            Step::Connect { reader, last } => self.connect(reader, last),
            Step::Read { reader } => {
                self.read(reader, usize::MAX);
                self.check_caught_up(reader);
            }
            Step::ReadSome { reader, share } => self.read(reader, share),
            Step::Cut { reader } => match &mut self.readers[reader].kind {
                Kind::Browser(browser) => browser.cut(),
                Kind::Program { subscription, .. } => *subscription = None,
            },
            Step::Advance { ms } => {
                self.clock.advance(Duration::from_millis(ms));
                self.hub.sweep();
            }
            Step::Forget { channel } => {
                forget(&self.hub, CHANNELS[channel]);
            }
            Step::Flood => {
                for _ in 0..5 {
                    publish(&self.hub, "flood", &"x".repeat(4000));
                }
            }
        }
    }

    fn publish(&mut self, channel: usize, own_id: bool, len: usize) {
        let label = format!("{:04}", self.positions.len());
        let data = format!("{label}{}", "x".repeat(len));
        let position = match own_id {
            true => publish_with_id(&self.hub, CHANNELS[channel], &data, &format!("own {label}")),
            false => publish(&self.hub, CHANNELS[channel], &data),
        };
        if let Some(before) = self.heads.insert(channel, position) {
            let follows = position == Position { offset: before.offset + 1, ..before };
            assert!(follows || (position.offset == 1 && position.epoch != before.epoch), "{before} {position}");
        }
        let log = self.log(CHANNELS[channel]);
        assert!(log.events <= self.limits.log_events_max);
        assert_eq!(log.head.offset - log.tail.offset, log.events as u64);
        self.positions.insert(label, (channel, position));
    }

    fn log(&self, channel: &str) -> ChannelInfo {
        self.hub.channel(&name(channel)).expect("it is known, as it was just used")
    }

    fn connect(&mut self, number: usize, last: Option<usize>) {
        let reader = &mut self.readers[number];
        // A reader that knows its position sends it. Only without one does it start as asked for.
        let start = last.filter(|_| reader.places.is_none()).map(Start::Last);
        match &mut reader.kind {
            Kind::Browser(browser) => {
                assert_eq!(browser.last_event_id.is_empty(), reader.places.is_none());
                match start.clone() {
                    Some(start) => browser.connect_from(start),
                    None => browser.connect(),
                }
            }
            Kind::Program { subscription, cursor } => {
                *subscription = None;
                let start = start.clone().unwrap_or_else(|| Start::After(cursor.clone().into()));
                *subscription =
                    Some(self.hub.subscribe(reader.channels.iter().copied(), start).expect("the hub is open"));
            }
        }
        let logs: Vec<_> = self.readers[number].channels.iter().map(|channel| self.log(channel)).collect();
        let reader = &mut self.readers[number];
        let fresh = |log: &ChannelInfo| {
            let back = last.map_or(0, |last| last.min(log.events)) as u64;
            Place { at: Position { offset: log.head.offset - back, ..log.head }, due: None }
        };
        reader.beginning = match &reader.places {
            None => logs.iter().map(fresh).collect(),
            Some(places) => {
                let by_own_id =
                    matches!(&reader.kind, Kind::Browser(browser) if browser.last_event_id.starts_with("own"));
                let begin = |(place, log): (&Place, &ChannelInfo)| Place {
                    due: place.lost_at_connecting(log, by_own_id),
                    ..*place
                };
                places.iter().zip(&logs).map(begin).collect()
            }
        };
        if reader.places.is_some() {
            reader.places = Some(reader.beginning.clone());
        }
    }

    /// Reads everything that is ready. Of a browser's socket it reads a share, and cuts the browser, so that the bytes that
    /// were written and not read are lost.
    fn read(&mut self, number: usize, share: usize) {
        let logs: Vec<_> =
            self.readers[number].channels.iter().map(|channel| self.hub.channel(&name(channel))).collect();
        let reader = &mut self.readers[number];
        let mut heard = Vec::new();
        match &mut reader.kind {
            Kind::Browser(browser) if !browser.is_connected() => return,
            Kind::Browser(browser) => {
                // Batches of all sizes.
                let bytes_max = 1 + self.positions.len() * 7 % 500;
                let take = match share {
                    usize::MAX => usize::MAX,
                    share => browser.unread_len(bytes_max) * share / 256,
                };
                heard.extend(browser.read_by(bytes_max, take).iter().map(Heard::message));
                if share != usize::MAX {
                    browser.cut();
                }
                if reader.places.is_none() && !browser.last_event_id.is_empty() {
                    reader.places = Some(reader.beginning.clone());
                }
            }
            Kind::Program { subscription: None, .. } => return,
            Kind::Program { subscription: Some(subscription), cursor } => {
                let take = if share == usize::MAX { usize::MAX } else { share / 32 };
                while heard.len() < take {
                    let Some(delivery) = ready_next(subscription) else { break };
                    heard.push(Heard::delivery(&delivery));
                }
                *cursor = subscription.cursor().to_string();
                reader.places.get_or_insert_with(|| reader.beginning.clone());
            }
        }
        for heard in heard {
            let places = reader.places.as_mut().expect("nothing comes before the first block");
            match heard {
                Heard::Reset { channel, reason, resumed_at } => {
                    let at = reader.channels.iter().position(|name| *name == channel).expect("one of its channels");
                    let log = logs[at].as_ref().expect("it is read, so it is known");
                    places[at].follow(log, Some((&reason, resumed_at)), None);
                }
                Heard::Event { label } => {
                    let (channel, position) = self.positions[&label];
                    let at = reader.channels.iter().position(|name| *name == CHANNELS[channel]).expect("its channel");
                    let log = logs[at].as_ref().expect("it is read, so it is known");
                    places[at].follow(log, None, Some(position));
                }
            }
        }
    }

    fn check_caught_up(&self, number: usize) {
        let reader = &self.readers[number];
        let connected = match &reader.kind {
            Kind::Browser(browser) => browser.is_connected(),
            Kind::Program { subscription, .. } => subscription.is_some(),
        };
        if connected {
            for (place, channel) in reader.places.as_ref().expect("it has read").iter().zip(&reader.channels) {
                assert_eq!(place.due, None, "a reset was not told");
                assert_eq!(place.at, self.log(channel).head, "not everything came");
            }
        }
    }
}

enum Heard {
    Event { label: String },
    Reset { channel: String, reason: String, resumed_at: Position },
}

impl Heard {
    fn message(message: &Message) -> Self {
        if message.event_type != STREAM_RESET {
            return Self::Event { label: message.data[..4].to_owned() };
        }
        let data: HashMap<String, String> = serde_json::from_str(&message.data).expect("JSON");
        let resumed_at = data["resumed_at"].parse().expect("a position");
        Self::Reset { channel: data["channel"].clone(), reason: data["reason"].clone(), resumed_at }
    }

    fn delivery(delivery: &Delivery) -> Self {
        match delivery {
            Delivery::Event(delivered) => Self::message(&delivered.frame.message()),
            Delivery::Reset(reset) => Self::Reset {
                channel: reset.channel.to_string(),
                reason: reset.reason.as_str().to_owned(),
                resumed_at: reset.resumed_at,
            },
        }
    }
}
