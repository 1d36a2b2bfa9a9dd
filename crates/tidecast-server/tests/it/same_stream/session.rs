//! A client of each hub, and the comparison of what both have read.

use std::collections::HashMap;

use serde_json::Value;
use tidecast::wire::{Item, Message};
use tidecast_test::EventStream;

use super::{CHANNELS, names::EpochNumbers};

/// A client of each hub.
pub(super) struct Session {
    pub(super) channels: Vec<&'static str>,
    /// Whether the clients read only now and then.
    pub(super) slow: bool,
    /// Whether the streams must agree in everything but epochs.
    pub(super) exact: bool,
    /// Empty once the session is closed.
    pub(super) streams: Vec<EventStream>,
    pub(super) taken: [Vec<Item>; 2],
    /// The bodies of both streams, once the session is closed.
    pub(super) bodies: [Vec<u8>; 2],
    /// The number of messages to compare: all, unless the session was cut before it had read all.
    pub(super) messages_max: usize,
}

impl Session {
    pub(super) fn messages(&self, which: usize) -> impl Iterator<Item = &Message> {
        let messages = self.taken[which].iter();
        messages.filter_map(|item| if let Item::Message(message) = item { Some(message) } else { None })
    }

    /// Reads to the newest event of a channel.
    pub(super) async fn catch_up(&mut self, channel: &str, newest: &HashMap<&str, String>) {
        let Some(newest) = newest.get(channel).filter(|_| self.channels.contains(&channel)) else { return };
        for which in 0..2 {
            if self.messages(which).any(|message| name_of(message).as_deref() == Some(newest)) {
                continue;
            }
            self.read_until(which, |message| name_of(message).as_deref() == Some(newest)).await;
        }
    }

    pub(super) async fn read_until(&mut self, which: usize, is_last: impl Fn(&Message) -> bool) {
        loop {
            let item = self.streams[which].next_item().await.expect("the stream goes on");
            let ends = matches!(&item, Item::Message(message) if is_last(message));
            self.taken[which].push(item);
            if ends {
                return;
            }
        }
    }

    /// Reads this many messages in small pieces, or up to the newest event, as several channels may arrive in any
    /// order.
    pub(super) async fn read_some(&mut self, messages: usize, piece: usize, newest: &HashMap<&str, String>) {
        let Some(newest) = newest.get(self.channels[0]) else { return };
        for which in 0..2 {
            for _ in 0..messages {
                if self.messages(which).any(|message| name_of(message).as_deref() == Some(newest)) {
                    break;
                }
                loop {
                    let Some(item) = self.streams[which].take_item() else {
                        assert!(self.streams[which].fill(piece).await, "the stream goes on");
                        continue;
                    };
                    let ends = matches!(item, Item::Message(_));
                    self.taken[which].push(item);
                    if ends {
                        break;
                    }
                }
            }
        }
    }

    /// Returns the ids with which the clients reconnect.
    pub(super) fn ids(&self) -> [Option<String>; 2] {
        [0, 1].map(|which| self.messages(which).last().map(|message| message.last_event_id.clone()))
    }

    pub(super) fn compare(&self, names: &mut [EpochNumbers; 2]) {
        if self.exact && self.messages_max == usize::MAX {
            let [one, other] = [0, 1].map(|which| names[which].number(&String::from_utf8_lossy(&self.bodies[which])));
            assert!(one == other, "{:?}", first_difference(&one, &other));
        }
        if self.exact {
            let [one, other] = [0, 1].map(|which| {
                let messages = self.messages(which).take(self.messages_max);
                messages.map(|message| names[which].number(&format!("{message:?}"))).collect::<Vec<_>>()
            });
            assert!(one == other, "{:?}", first_difference(&one.concat(), &other.concat()));
        }
        for channel in &self.channels {
            let [one, other] = [0, 1].map(|which| {
                let messages = self.messages(which).take(self.messages_max);
                let of_channel = messages.filter(|message| channel_of(message).as_deref() == Some(channel));
                of_channel
                    .map(|message| (message.event_type.clone(), names[which].number(&message.data)))
                    .collect::<Vec<_>>()
            });
            assert!(one == other, "{channel} of {:?}: {} and {} events", self.channels, one.len(), other.len());
        }
    }
}

/// Returns the channel and number of an event.
fn name_of(message: &Message) -> Option<String> {
    let text = if message.data.is_empty() { &message.event_type } else { &message.data };
    let text = text.strip_prefix("{\"n\":\"").unwrap_or(text);
    let end = text.find(['|', '"']).unwrap_or(text.len());
    CHANNELS.iter().any(|channel| text.starts_with(channel)).then(|| text[..end].to_owned())
}

fn channel_of(message: &Message) -> Option<String> {
    if message.event_type == "stream-reset" {
        let told: Value = serde_json::from_str(&message.data).expect("a reset's data is JSON");
        return told["channel"].as_str().map(str::to_owned);
    }
    name_of(message).map(|name| name[..1].to_owned())
}

pub(super) fn is_reset_of(message: &Message, channel: &str) -> bool {
    message.event_type == "stream-reset" && channel_of(message).as_deref() == Some(channel)
}

/// Returns the first difference of two texts, with the text around it.
fn first_difference<'a>(one: &'a str, other: &'a str) -> (&'a str, &'a str) {
    let at = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
    let around = |text: &'a str| &text[at.saturating_sub(80)..text.len().min(at + 80)];
    (around(one), around(other))
}
