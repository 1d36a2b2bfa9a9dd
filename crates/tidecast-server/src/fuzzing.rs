//! The checks of the server's fuzz targets, which must hold for any bytes that a client can send.
//!
//! They are compiled for the targets in `fuzz/` and for the tests, which replay the corpora. The program does not use them.

mod fast_path;

use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use tidecast::{Channel, Event, Hub, Publication, limits::SUBSCRIPTION_CHANNELS_MAX};
use tidecast_axum::internals::query as axum_query;

pub use self::fast_path::fast_path;
use crate::{
    auth::ticket::TicketKey,
    http::publish::{item::PublishRequest, parse::parse},
    limits::BATCH_MAX,
};

/// Checks that a request to publish is refused with a status 4xx and a reason, or that its events arrive as published.
///
/// The input has the `Content-Type`, the query and the `Idempotency-Key` in a line each (an empty line is an absent header),
/// then the body. `arrives` publishes an event and returns whether the engine accepts it.
///
/// # Panics
///
/// If a check fails.
pub fn publish(input: &[u8], arrives: fn(&Channel, &Event) -> bool) {
    let mut lines = input.splitn(4, |byte| *byte == b'\n');
    let mut next = || lines.next().unwrap_or_default();
    let (content_type, query, key, body) = (next(), next(), next(), next());
    let Ok(query) = str::from_utf8(query) else { return };
    let mut headers = HeaderMap::new();
    for (name, value) in [(header::CONTENT_TYPE, content_type), (HeaderName::from_static("idempotency-key"), key)] {
        if let Some(value) = HeaderValue::from_bytes(value).ok().filter(|value| !value.is_empty()) {
            headers.insert(name, value);
        }
    }
    let hub = Hub::new();
    let publications = match parse(&hub, &headers, query, body) {
        // The hub checks a single event when it is published.
        Ok(PublishRequest::Single(item)) if hub.check(&item.publication.event).is_err() => return,
        Ok(PublishRequest::Single(item)) => vec![item],
        Ok(PublishRequest::Batch(several)) => several,
        Err(problem) => {
            assert!(problem.status().is_client_error() && !problem.detail().is_empty(), "{problem:?}");
            return;
        }
    };
    assert!(publications.len() <= BATCH_MAX);
    // An array may have many events, so only the first are checked.
    for Publication { channel, event, .. } in publications.iter().take(4).map(|item| &item.publication) {
        assert!(arrives(channel, event), "an accepted event is refused by the engine");
    }
}

/// Checks that a query that is parsed, written and parsed again is the same, and that a stream of it has a channel.
///
/// # Panics
///
/// If the check fails.
pub fn query(input: &[u8]) {
    let Ok(pairs) = axum_query::pairs(input) else { return };
    let encode = |text: &str| percent_encode(text.as_bytes(), NON_ALPHANUMERIC).to_string();
    let written: Vec<_> = pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    assert_eq!(axum_query::pairs(written.join("&").as_bytes()).expect("it was parsed once"), pairs);
    let tickets = axum_query::values(input, "ticket").expect("its pairs could be parsed");
    assert_eq!(tickets.len(), pairs.iter().filter(|(name, _)| name == "ticket").count());

    let Ok(text) = str::from_utf8(input) else { return };
    match axum_query::channels(text) {
        Ok(channels) => {
            assert!((1..=SUBSCRIPTION_CHANNELS_MAX).contains(&channels.len()));
            assert!(channels.iter().enumerate().all(|(at, channel)| !channels[..at].contains(channel)));
        }
        Err(problem) => assert!(problem.status().is_client_error() && !problem.detail().is_empty(), "{problem:?}"),
    }
}

/// Checks that the input is not accepted as a ticket. Then signs its first line as the header and the rest as the claims, and
/// checks that a ticket that is accepted opens only the channels that it names, has not expired, and is not accepted with a
/// changed signature.
///
/// # Panics
///
/// If a check fails.
pub fn ticket(input: &[u8]) {
    let key = TicketKey::derive(b"a key of the fuzz targets");
    let now = UNIX_EPOCH + Duration::from_secs(1_000);
    assert!(key.open(input, now).is_err(), "the fuzzer does not know the key");

    let (header, claims) = input.split_at(input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len()));
    let token = key.sign_parts(header, claims);
    let Ok(ticket) = key.open(token.as_bytes(), now) else { return };
    let claims: serde_json::Value = serde_json::from_slice(claims).expect("claims that were parsed");
    let named: Vec<_> = claims["subscribe"].as_array().into_iter().flatten().filter_map(|name| name.as_str()).collect();
    for name in named.iter().copied().chain(["sse", "news"]) {
        if let Ok(channel) = Channel::new(name) {
            assert_eq!(ticket.opens(&channel), named.contains(&name), "{name}");
        }
    }
    assert!(claims["exp"].as_f64().is_some_and(|end| end > 1_000.0));
    let at = token.rfind('.').expect("it has three parts") + 1;
    let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
    let changed = [&token[..at], other, &token[at + 1..]].concat();
    assert!(key.open(changed.as_bytes(), now).is_err(), "{changed}");
}

#[cfg(test)]
mod tests {
    use tidecast_test::fuzz::{arrives, replay};

    #[test]
    fn publishes() {
        replay("publish", |input| super::publish(input, arrives));
    }

    #[test]
    fn queries() {
        replay("query", super::query);
    }

    #[test]
    fn tickets() {
        replay("ticket", super::ticket);
    }

    #[test]
    fn requests() {
        replay("fast_path", super::fast_path);
    }
}
