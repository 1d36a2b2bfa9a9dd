//! Every name that Tidecast has in Redis, and none anywhere else.
//!
//! A channel's keys carry its name in a hash tag, so that in a Cluster they lie in one slot. The name is encoded there:
//! a brace in it would end the tag, a colon would make one channel's key look like another's. What is published on a
//! channel's plain name is not this file's business: that name is the channel's own, byte for byte.

use std::fmt::Write;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tidecast::{Channel, IdempotencyKey};

/// What is encoded besides whatever is not ASCII. The space only because it is awkward at a command line.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b':').add(b'{').add(b'}');

/// The names under one prefix and, where it matters, in one database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keys {
    prefix: String,
    /// Everything before the brace of a channel of our own. Pub/sub knows no databases, so the name has it.
    own_prefix: String,
    control: String,
}

/// The keys of one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChannelKeys {
    /// A hash: epoch, offset, and where earlier epochs ended.
    pub(crate) meta: String,
    /// A stream: what was published of late.
    pub(crate) events: String,
    /// What an idempotency key is put behind.
    once_prefix: String,
}

impl Keys {
    /// Names that begin with `prefix`, which is printable ASCII without braces: whoever parses the configuration sees
    /// to that.
    pub(crate) fn new(prefix: &str, database: u32) -> Self {
        let own_prefix = format!("{prefix}:{database}:");
        Self { prefix: prefix.to_owned(), control: format!("{own_prefix}control\u{1}"), own_prefix }
    }

    /// The keys of a channel.
    pub(crate) fn channel(&self, channel: &Channel) -> ChannelKeys {
        let mut tagged = format!("{}:", self.prefix);
        put_tag(&mut tagged, channel);
        ChannelKeys {
            meta: format!("{tagged}:meta"),
            events: format!("{tagged}:events"),
            once_prefix: format!("{tagged}:once:"),
        }
    }

    /// Where a channel's events are published when no Flask-SSE is to hear them.
    pub(crate) fn own_channel(&self, channel: &Channel) -> String {
        let mut name = self.own_prefix.clone();
        put_tag(&mut name, channel);
        name
    }

    /// Returns the name on which nodes tell each other that a channel was deleted. No channel has this name: those of our
    /// own go on with a brace, and in one that is published under its plain name there is no control character.
    pub(crate) fn control(&self) -> &str {
        &self.control
    }

    /// Returns a pattern that matches [`control`](Self::control). Nodes listen by it rather than by the name, because
    /// `PUBSUB CHANNELS` lists names: programs publish to all that it lists, and this one is no channel's.
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
    /// Where the answer is kept that was given under an idempotency key. The key stands last and as it is: the first
    /// pair of braces is the tag, whatever follows.
    pub(crate) fn once(&self, key: &IdempotencyKey) -> String {
        format!("{}{key}", self.once_prefix)
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

    /// The slot of a key as a Cluster reckons it.
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
        assert_eq!(of_channel.once(&key), "tidecast:{a%20%7Bb%7D%3A50%25%20%C3%BC}:once:order {17}:é");
        assert_eq!(keys.own_channel(&channel), "tidecast:3:{a%20%7Bb%7D%3A50%25%20%C3%BC}");
        assert_eq!(keys.control(), "tidecast:3:control\u{1}");
        assert!(Channel::new(&keys.control()).is_err(), "nobody can publish there by a channel's name");
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
            let once = of_channel.once(&IdempotencyKey::new(&key).unwrap());
            let own = keys.own_channel(&channel);
            let slots = [&of_channel.meta, &of_channel.events, &once, &own].map(|key| slot(key));
            prop_assert_eq!(slots, [slots[0]; 4]);
        }

        #[test]
        fn distinct_channels_have_distinct_keys(one in name(), other in name()) {
            let keys = Keys::new("tidecast", 0);
            prop_assert_eq!(keys.channel(&one) == keys.channel(&other), one == other);
        }
    }
}
