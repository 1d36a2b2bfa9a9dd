//! Filling: a channel's log is brought to where Redis says that the channel stands, and then let go live.
//!
//! Done for many channels at once, in rounds: each round asks for a page of each, in one pipeline. Called by an ear after
//! it has subscribed, and whenever something arrives that does not follow the log.

use std::{sync::Arc, time::Duration};

use tidecast::{
    Position,
    broker::{Deliveries, Encoded, Head, Placed},
    limits::REFILL_PAGE_EVENTS,
};
use tokio::time;

use crate::{
    backoff::Backoff,
    commands::Call,
    heard::{Settled, ToFill},
    scripts::{Fill, Filled},
    shared::{PAGE_BYTES_MAX, Shared, head_of, past_events},
    stats::count,
};

/// Most channels that are asked for in one pipeline.
pub(crate) const CHANNELS_AT_ONCE: usize = 32;

/// Most events that a log which has fallen behind is given of what lies between. Beyond it goes on with the newest: what
/// it lacks, its readers ask for by themselves.
const GAP_MAX: u64 = 10_000;

/// What a round has brought for one channel.
enum Round {
    /// There is more of it.
    More,
    /// All there was to put; where the channel stands.
    Filled(Head),
}

/// Fills channels, however long Redis takes, unless they are no longer wanted.
pub(crate) async fn fill(shared: Arc<Shared>, mut wanted: Vec<ToFill>) {
    let mut backoff = Backoff::RECONNECT;
    loop {
        wanted.retain_mut(|fill| shared.heard.begin_fill(fill));
        let Some(deliveries) = shared.heard.deliveries().filter(|_| !wanted.is_empty()) else { return };
        let mut again = Vec::new();
        let mut failed = None;
        let before: Vec<_> = wanted.iter().map(|fill| deliveries.position(&fill.channel)).collect();
        let calls = wanted.iter().zip(&before).map(|(fill, position)| ask(&shared, fill, *position)).collect();
        let replies = shared.commands.call_all(calls).await;
        for ((fill, before), reply) in wanted.into_iter().zip(before).zip(replies) {
            let filled = match reply.map(Fill::parse) {
                Ok(Ok(filled)) => filled,
                Ok(Err(malformed)) => {
                    failed = Some(malformed.to_string());
                    again.push(fill);
                    continue;
                }
                Err(failure) => {
                    failed = Some(failure.to_string());
                    again.push(fill);
                    continue;
                }
            };
            match put(&shared, deliveries, &fill, before, filled.as_ref()) {
                Round::More => again.push(fill),
                Round::Filled(head) if shared.heard.settle(&fill, &head) == Settled::Again => again.push(fill),
                Round::Filled(_) => {}
            }
        }
        wanted = again;
        match failed {
            Some(reason) => {
                tracing::warn!(channels = wanted.len(), reason, "channels can't be filled from redis yet");
                time::sleep(backoff.after_failure(fastrand::f64())).await;
            }
            None => backoff.reset(),
        }
    }
}

fn ask(shared: &Shared, fill: &ToFill, here: Option<Position>) -> Call<'static> {
    let keys = shared.keys.channel(&fill.channel);
    let after = here.filter(|here| *here != Position::START).map(|here| here.offset);
    Fill { keys: &keys, after, limit: REFILL_PAGE_EVENTS, bytes_max: PAGE_BYTES_MAX }.call()
}

/// Brings a log nearer to where its channel stands. `before` is where the log stood when Redis was asked.
fn put(
    shared: &Shared,
    deliveries: &Deliveries,
    fill: &ToFill,
    before: Option<Position>,
    filled: Option<&Filled>,
) -> Round {
    let channel = &fill.channel;
    let Some(filled) = filled else {
        // Never published to, or forgotten, or Redis has lost it: then readers that were further are told.
        let head = Head::new(Position::START);
        deliveries.open_at(channel, &head);
        return Round::Filled(head);
    };
    let head = head_of(filled);
    let continues = before.is_some_and(|before| before.epoch == head.position.epoch);
    if before.is_some_and(|before| !continues && before != Position::START) {
        // Of another epoch: what was asked for says nothing. The log starts over at the end of the new one, and the next
        // round reads on from there; readers that are further behind ask by themselves.
        let offset = head.position.offset.saturating_sub(REFILL_PAGE_EVENTS as u64);
        let oldest = Position { offset, ..head.position };
        deliveries.open_at(channel, &Head::new(oldest).with_lineage(head.lineage));
        return Round::More;
    }
    let behind = before.is_some_and(|before| head.position.offset > before.offset);
    if continues && behind {
        count(&shared.heard.counters.gaps_filled);
    }

    let too_far = before.is_some_and(|before| head.position.offset.saturating_sub(before.offset) > GAP_MAX);
    let events = if too_far { Vec::new() } else { past_events(filled, deliveries.limits()) };
    let first = events.first().map_or(head.position.offset, |first| first.position.offset - 1);
    let begins_at = Position { offset: first, ..head.position };
    // Where the log is there already this changes nothing but the lineage; where older events are gone it goes past them.
    deliveries.open_at(channel, &Head::new(begins_at).with_lineage(head.lineage.clone()));
    for past in &events {
        match deliveries.append_at(channel, past.position, &Encoded::new(&past.event)) {
            Placed::Appended(appended) => drop(appended),
            Placed::Known | Placed::Closed => {}
            // An event before it could not be read: it is passed over as one that is gone.
            Placed::Elsewhere => {
                let before = Position { offset: past.position.offset - 1, ..past.position };
                deliveries.open_at(channel, &Head::new(before).with_lineage(head.lineage.clone()));
                drop(deliveries.append_at(channel, past.position, &Encoded::new(&past.event)));
            }
        }
    }
    let here = deliveries.position(channel);
    let is_there = |here: Position| here.epoch == head.position.epoch && here.offset >= head.position.offset;
    if here.is_some_and(is_there) || events.is_empty() { Round::Filled(head) } else { Round::More }
}

/// How long a comparison that found a channel behind waits for what is on its way.
pub(crate) const ON_ITS_WAY: Duration = Duration::from_secs(1);
