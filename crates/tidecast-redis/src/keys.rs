//! The names of all keys and pub/sub channels that Tidecast uses in Redis, except a channel's plain name.
//!
//! A channel's keys have its name in a hash tag, so that they share a slot of a Cluster. The name is encoded there: a
//! brace would end the tag, and a colon would make the key look like another channel's.

use std::fmt::Write;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tidecast::{Channel, IdempotencyKey};

/// The ASCII characters to encode. The space is among them because it is awkward on a command line.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b':').add(b'{').add(b'}');

/// The names with one prefix and, in pub/sub, of one database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keys {
    prefix: String,
    /// The part of a prefixed channel name before its brace. It has the database, because pub/sub spans all of them.
    own_prefix: String,
    control: String,
}

/// The keys of one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChannelKeys {
    /// A hash of the epoch, the offset, and the ends of earlier epochs.
    pub(crate) meta: String,
    /// A stream of the retained events.
    pub(crate) events: String,
    /// The prefix of the keys that keep receipts.
    receipt_prefix: String,
}

impl Keys {
    /// Creates names with a prefix of printable ASCII without braces, which `RedisConfig` checks.
    pub(crate) fn new(prefix: &str, database: u32) -> Self {
        let own_prefix = format!("{prefix}:{database}:");
        Self { prefix: prefix.to_owned(), control: format!("{own_prefix}control\u{1}"), own_prefix }
    }

    /// Returns the keys of a channel.
    pub(crate) fn channel(&self, channel: &Channel) -> ChannelKeys {
        let mut tagged = format!("{}:", self.prefix);
        put_tag(&mut tagged, channel);
        ChannelKeys {
            meta: format!("{tagged}:meta"),
            events: format!("{tagged}:events"),
            receipt_prefix: format!("{tagged}:once:"),
        }
    }

    /// Returns the prefixed name on which a channel's events are published if Flask-SSE is not to receive them.
    pub(crate) fn own_channel(&self, channel: &Channel) -> String {
        let mut name = self.own_prefix.clone();
        put_tag(&mut name, channel);
        name
    }

    /// Returns the name of the control channel, by which nodes reach each other. It is no channel's: a prefixed name has a
    /// brace there, and a plain one has no control character.
    pub(crate) fn control(&self) -> &str {
        &self.control
    }

    /// Returns a pattern that matches [`control`](Self::control). Nodes subscribe to the pattern, because
    /// `PUBSUB CHANNELS` lists names, and some programs publish to all that it lists.
    pub(crate) fn control_pattern(&self) -> String {
        let mut pattern = String::with_capacity(self.own_prefix.len() + 8);
        for character in self.own_prefix.chars() {
            if matches!(character, '*' | '?' | '[' | ']' | '^' | '\\') {
                pattern.push('\\');
            }
            pattern.push(character);
        }
        pattern + "control?"
    }
}

impl ChannelKeys {
    /// Returns the key that keeps the receipt of an idempotency key. That comes last and verbatim: the first pair of
    /// braces is the tag, whatever follows.
    pub(crate) fn receipt(&self, key: &IdempotencyKey) -> String {
        format!("{}{key}", self.receipt_prefix)
    }
}

fn put_tag(out: &mut String, channel: &Channel) {
    // Writing to a string does not fail.
    let _ = write!(out, "{{{}}}", utf8_percent_encode(channel.as_str(), ENCODED));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns the slot of a key as a Cluster computes it.
    fn slot(key: &str) -> u16 {
        let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
        let hashed = tag.filter(|tag| !tag.is_empty()).unwrap_or(key);
        crc16::State::<crc16::XMODEM>::calculate(hashed.as_bytes()) % 16_384
    }

    fn name() -> impl Strategy<Value = Channel> {
        let any = proptest::collection::vec(any::<char>(), 1..60).prop_map(String::from_iter);
        let awkward = r"[{}:%a tidecast0]{1,40}";
        prop_oneof![any, awkward].prop_filter_map("is no channel's name", |name| Channel::new(&name).ok())
    }

    #[test]
    fn names_are_as_documented() {
        let keys = Keys::new("tidecast", 3);
        let channel = Channel::new("a {b}:50% ü").unwrap();
        let of_channel = keys.channel(&channel);
        assert_eq!(of_channel.meta, "tidecast:{a%20%7Bb%7D%3A50%25%20%C3%BC}:meta");
        assert_eq!(of_channel.events, "tidecast:{a%20%7Bb%7D%3A50%25%20%C3%BC}:events");
        let key = IdempotencyKey::new("order {17}:é").unwrap();
        assert_eq!(of_channel.receipt(&key), "tidecast:{a%20%7Bb%7D%3A50%25%20%C3%BC}:once:order {17}:é");
        assert_eq!(keys.own_channel(&channel), "tidecast:3:{a%20%7Bb%7D%3A50%25%20%C3%BC}");
        assert_eq!(keys.control(), "tidecast:3:control\u{1}");
        assert!(Channel::new(keys.control()).is_err(), "no channel has this name");
    }

    proptest! {
        #[test]
        fn an_own_channel_is_no_control(channel in name(), database in 0..16_u32) {
            let keys = Keys::new("tide:cast", database);
            let own = keys.own_channel(&channel);
            prop_assert_ne!(own, keys.control());
        }

        #[test]
        fn all_keys_of_a_channel_lie_in_one_slot(channel in name(), key in "\\PC{1,60}") {
            let keys = Keys::new("tidecast", 0);
            let of_channel = keys.channel(&channel);
            let receipt_key = of_channel.receipt(&IdempotencyKey::new(&key).unwrap());
            let own = keys.own_channel(&channel);
            let slots = [&of_channel.meta, &of_channel.events, &receipt_key, &own].map(|key| slot(key));
            prop_assert_eq!(slots, [slots[0]; 4]);
        }

        #[test]
        fn distinct_channels_have_distinct_keys(one in name(), other in name()) {
            let keys = Keys::new("tidecast", 0);
            prop_assert_eq!(keys.channel(&one) == keys.channel(&other), one == other);
        }
    }
}
