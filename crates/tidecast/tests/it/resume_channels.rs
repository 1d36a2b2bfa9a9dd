//! A client that returns with its channels in any order, with more or with fewer: the position of a channel is found whatever
//! the order, and a channel that the id does not cover starts live. Channels that start over or are forgotten meanwhile are a
//! reset, or repeat events: none loses an event in silence.

use std::collections::HashMap;

use proptest::{prelude::*, sample::subsequence};
use tidecast::{Limits, STREAM_RESET};

use crate::support::{Browser, default_with, forget, hub_with, publish, secs};

const CHANNELS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// An action while the client is away.
#[derive(Debug, Clone)]
enum Step {
    Publish(usize),
    Delete(usize),
    /// Long enough that channels without readers are forgotten.
    Wait,
}

fn any_channels() -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(CHANNELS.to_vec(), 1..=CHANNELS.len()).prop_shuffle()
}

fn any_step() -> impl Strategy<Value = Step> {
    let channel = 0..CHANNELS.len();
    prop_oneof![
        8 => channel.clone().prop_map(Step::Publish),
        1 => channel.prop_map(Step::Delete),
        1 => Just(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_position_of_each_channel_is_found(
        before in any_channels(),
        after in any_channels(),
        read in prop::collection::vec(0..CHANNELS.len(), 0..8),
        away in prop::collection::vec(any_step(), 0..10),
        idle_channels_max in 0..6_usize,
    ) {
        let limits = default_with!(Limits { log_age_max: secs(10), idle_channels_max });
        let (hub, clock) = hub_with(limits);
        let mut browser = Browser::connected(&hub, &before);
        let mut count = 0;
        let mut published = |channel: &str| {
            count += 1;
            publish(&hub, channel, &format!("{channel}{count}"));
            format!("{channel}{count}")
        };
        for channel in read {
            published(CHANNELS[channel]);
        }
        browser.read();
        browser.cut();

        let (mut missed, mut lost) = (HashMap::<&str, Vec<String>>::new(), false);
        for step in away {
            match step {
                Step::Publish(channel) => {
                    let data = published(CHANNELS[channel]);
                    missed.entry(CHANNELS[channel]).or_default().push(data);
                }
                Step::Delete(channel) => {
                    forget(&hub, CHANNELS[channel]);
                    lost = true;
                }
                Step::Wait => {
                    clock.advance(secs(21));
                    hub.sweep();
                    lost = true;
                }
            }
        }

        let mut back = Browser::new(&hub, &after);
        back.last_event_id = browser.last_event_id;
        back.connect();
        let (mut resets, mut events) = (Vec::new(), HashMap::<String, Vec<String>>::new());
        for message in back.read() {
            if message.event_type == STREAM_RESET {
                let data: serde_json::Value = serde_json::from_str(&message.data).unwrap();
                resets.push(data["channel"].as_str().unwrap().to_owned());
            } else {
                events.entry(message.data[..1].to_owned()).or_default().push(message.data);
            }
        }
        // The id of one channel alone may be the own id of one of its events.
        let other = after.len() == 1 && !before.contains(&after[0]);
        prop_assert!(lost || other || resets.is_empty(), "{:?}", resets);
        for channel in after {
            let (got, missed) = (events.remove(channel).unwrap_or_default(), missed.remove(channel).unwrap_or_default());
            if resets.iter().any(|reset| reset == channel) {
                continue;
            }
            // Added channels start live, if nothing else is known of them.
            let expected = if before.contains(&channel) { missed } else { Vec::new() };
            prop_assert_eq!(got, expected, "{}", channel);
        }
    }
}
