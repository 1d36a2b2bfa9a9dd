//! Many subscribers, several publishers, and connections that are cut anywhere: nothing is lost, repeated or reordered.
//!
//! Each response to a publish has the event's position, so the responses together say what every subscriber must
//! receive. Each channel ends with a last event, after which nothing may arrive, so that a repetition at the very end
//! is found too.

use std::{collections::BTreeMap, sync::LazyLock};

use serde_json::{Value, json};
use tidecast::wire::{Item, Message};
use tidecast_test::{EventSource, HttpConnection, HubProcess, percent_encode, request_bytes, soak_factor, within};

use crate::TIDECAST;

const CHANNELS: usize = 20;
const SUBSCRIBERS: usize = 500;
/// The number of events that each of the four publishers sends to each channel.
static ROUNDS: LazyLock<usize> = LazyLock::new(|| 30 * soak_factor() as usize);
static CUTS_MAX: LazyLock<usize> = LazyLock::new(|| 6 * soak_factor() as usize);
const LAST_WORD: &str = "the end";

/// Published events by channel and offset: the data and the publisher's id.
type Published = BTreeMap<String, BTreeMap<u64, (String, Option<String>)>>;

#[tokio::test]
async fn five_hundred_subscribers_that_are_cut_at_random_receive_everything_once_and_in_order() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let hub = TIDECAST.serve(&[]);
    let mut rng = fastrand::Rng::with_seed(seed);

    let mut readers = tokio::task::JoinSet::new();
    for number in 0..SUBSCRIBERS {
        let more = if number % 5 == 0 { rng.usize(1..8) } else { 0 };
        let first = number % CHANNELS;
        let channels: Vec<_> = (first..=first + more).map(|channel| format!("c{}", channel % CHANNELS)).collect();
        let target = format!("/stream?channel={}", channels.join("&channel="));
        let mut source = hub.source(&target);
        // Connected before the first event, so that it must receive all of them.
        let stream = source.connected().await;
        stream.until_live().await;
        let rng = rng.fork();
        readers.spawn(async move { (channels.clone(), read(source, channels.len(), rng).await) });
    }

    let published = publish_all(&hub).await;
    for channel in published.keys() {
        let last = hub.publish(&json!({ "channel": channel, "data": LAST_WORD }).to_string()).await;
        assert!(last["position"].as_str().unwrap().ends_with(&format!(".{}", 4 * *ROUNDS + 1)), "{last}");
    }
    let mut cuts = 0;
    while let Some(read) = within("the subscribers", readers.join_next()).await {
        let (channels, (messages, cut)) = read.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        cuts += cut;
        compare(&channels, &messages, &published);
    }
    assert!(cuts > SUBSCRIBERS, "too few cuts to mean anything: {cuts}");
    hub.until_metric("tidecast_subscriptions", 0).await;
    let all = (CHANNELS * (4 * *ROUNDS + 1)) as u64;
    assert_eq!(hub.metric("tidecast_events_published_total").await, all);
    for reason in ["expired", "restarted", "unknown-id", "too-slow"] {
        assert_eq!(hub.metric(&format!("tidecast_resets_total{{reason=\"{reason}\"}}")).await, 0, "{reason}");
    }
}

/// Reads to the last event of every channel, and cuts the connection now and then after any number of bytes, also
/// inside a chunk, a line or a character.
async fn read(mut source: EventSource, channels: usize, mut rng: fastrand::Rng) -> (Vec<Message>, usize) {
    let (mut messages, mut last_words, mut cuts) = (Vec::new(), 0, 0);
    let mut budget = rng.usize(1..4_000);
    while last_words < channels {
        let cutting = cuts < *CUTS_MAX;
        let stream = source.connected().await;
        let before = stream.bytes_read;
        let goes_on = stream.fill(if cutting { budget.min(1 + rng.usize(..700)) } else { 64 * 1024 }).await;
        assert!(goes_on, "the hub ended the stream");
        budget = budget.saturating_sub(stream.bytes_read - before);
        let mut items: Vec<_> = std::iter::from_fn(|| stream.take_item()).collect();
        if cutting && budget == 0 {
            items.extend(source.cut());
            cuts += 1;
            budget = rng.usize(1..4_000);
        }
        for item in items {
            let Item::Message(message) = item else { continue };
            last_words += usize::from(message.data == LAST_WORD);
            messages.push(message);
        }
    }
    (messages, cuts)
}

fn compare(channels: &[String], messages: &[Message], published: &Published) {
    let mut seen: BTreeMap<&str, Vec<&Message>> = BTreeMap::new();
    for message in messages {
        assert_ne!(message.event_type, "stream-reset", "{message:?}");
        if message.data != LAST_WORD {
            let channel = message.data.split('|').next().expect("data begin with their channel");
            seen.entry(channel).or_default().push(message);
        }
    }
    for channel in channels {
        let expected = &published[channel];
        let seen = seen.remove(channel.as_str()).unwrap_or_default();
        let data: Vec<_> = seen.iter().map(|message| message.data.as_str()).collect();
        let expected_data: Vec<_> = expected.values().map(|(data, _)| data.as_str()).collect();
        assert_eq!(data, expected_data, "{channel} of {channels:?}");
        for (message, (_, id)) in seen.iter().zip(expected.values()) {
            match id {
                Some(id) if channels.len() == 1 => assert_eq!(message.last_event_id, *id),
                _ => assert_eq!(message.last_event_id.split(',').count(), channels.len()),
            }
        }
    }
    assert!(seen.is_empty(), "events of channels that were not asked for: {seen:?}");
}

/// Publishes in four forms at the same time.
async fn publish_all(hub: &HubProcess) -> Published {
    let mut publishers = tokio::task::JoinSet::new();
    for form in ["json", "array", "form", "text"] {
        let address = hub.address;
        publishers.spawn(async move {
            let mut connection = HttpConnection::open(address).await;
            let mut responses = Vec::new();
            for round in 0..*ROUNDS {
                // Data of varying size, with characters of one to four bytes and line breaks.
                let filler = "é🌊\n".repeat(round % 7);
                let events: Vec<_> = (0..CHANNELS)
                    .map(|channel| {
                        let data = format!("c{channel}|{form}|{round}|{filler}");
                        let id = (form == "form" || round % 3 == 0).then(|| format!("{form} {round} ü"));
                        (format!("c{channel}"), data, id)
                    })
                    .collect();
                for request in requests(form, address, &events) {
                    connection.send(&request).await;
                    let response = connection.response("POST").await;
                    assert_eq!(response.head.status, 200, "{response:?}");
                    match response.json() {
                        Value::Array(several) => responses.extend(several),
                        one => responses.push(one),
                    }
                }
                let from = responses.len() - events.len();
                for (response, (channel, data, id)) in responses[from..].iter_mut().zip(events) {
                    assert_eq!(response["channel"], channel);
                    response["told"] = json!([data, id]);
                }
            }
            responses
        });
    }
    let mut published = Published::new();
    while let Some(responses) = within("publishing", publishers.join_next()).await {
        for response in responses.expect("publishing works") {
            let position: tidecast::Position = response["position"].as_str().and_then(|p| p.parse().ok()).expect("one");
            let told: (String, Option<String>) =
                serde_json::from_value(response["told"].clone()).expect("what was told");
            let channel = response["channel"].as_str().unwrap_or_default();
            let before = published.entry(channel.to_owned()).or_default().insert(position.offset, told);
            assert!(before.is_none(), "two events at {position}");
        }
    }
    published
}

/// Returns the requests of one round.
fn requests(form: &str, address: std::net::SocketAddr, events: &[(String, String, Option<String>)]) -> Vec<Vec<u8>> {
    let post = |target: &str, media_type: &str, body: &str| {
        request_bytes(address, "POST", target, &[("Content-Type", media_type)], body.as_bytes())
    };
    let object =
        |(channel, data, id): &(String, String, Option<String>)| json!({ "channel": channel, "data": data, "id": id });
    if form == "array" {
        let array: Value = events.iter().map(object).collect();
        return vec![post("/publish", "application/json", &array.to_string())];
    }
    let one = |event: &(String, String, Option<String>)| {
        let (channel, data, id) = event;
        let pairs = format!("channel={channel}&id={}", percent_encode(id.as_deref().unwrap_or_default()));
        match form {
            "json" => post("/publish", "application/json", &object(event).to_string()),
            "form" => {
                post("/publish", "application/x-www-form-urlencoded", &format!("{pairs}&data={}", percent_encode(data)))
            }
            _ => post(&format!("/publish?{pairs}"), "text/plain; charset=utf-8", data),
        }
    };
    events.iter().map(one).collect()
}
