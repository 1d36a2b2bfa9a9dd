//! Filling: a channel's log is brought to where Redis says that the channel stands, and then let go live.
//!
//! Done for many channels at once, in rounds: each round asks for a page of each, in one pipeline. Called by an ear after
//! it has subscribed, and whenever something arrives that does not follow the log; what can't be filled goes back to it.

#[cfg(test)]
mod tests;

use std::{fmt::Display, mem, sync::Arc, time::Duration};

use tidecast::{
    Position, ResetReason,
    broker::{AppendOutcome, Deliveries, EncodedEvent, Head},
    limits::BACKFILL_PAGE_EVENTS,
};

use crate::{
    RedisConfig,
    commands::ScriptCall,
    context::{BrokerContext, PAGE_BYTES_MAX, head_of, past_events},
    pubsub::connection::PubSubConnection,
    pubsub::subscriptions::{BackfillTask, GoLive, LiveFrom},
    scripts::{HistoryPage, ReadHistory},
    stats::count,
    supervise::FailPoint,
};

/// Most channels that are asked for in one pipeline.
pub(crate) const CHANNELS_AT_ONCE: usize = 32;

/// Most events that a log which has fallen behind is given of what lies between. Beyond it goes on with the newest: what
/// it lacks, its readers ask for by themselves.
const GAP_MAX: u64 = 10_000;

/// What a round has brought for one channel.
enum PageOutcome {
    /// There is more of it.
    More,
    /// All there was to put; where the channel stands.
    Complete(Head),
}

/// Fills channels, unless they are no longer wanted. Answers with those that can't be filled now, for the caller to try
/// again later: they must not keep others waiting.
pub(crate) async fn fill(
    context: Arc<BrokerContext>,
    connection: &PubSubConnection,
    mut current: Vec<BackfillTask>,
) -> Vec<BackfillTask> {
    let mut failed = Vec::new();
    while !context.is_closed() {
        current.retain_mut(|fill| context.subscriptions.begin_round(fill));
        let Some(deliveries) = context.subscriptions.deliveries().filter(|_| !current.is_empty()) else { break };
        context.fail_points.trip(FailPoint::Backfill);
        let mut again = Vec::new();
        let before: Vec<_> = current.iter().map(|fill| deliveries.position(&fill.channel)).collect();
        let calls = current.iter().zip(&before).map(|(fill, position)| read_call(&context, fill, *position)).collect();
        let replies = context.commands.call_all(calls).await;
        // Without a history an event is had only if it is heard. What was sent before Redis was asked has arrived, and is held
        // back, once the listening connection has answered as well.
        if !context.config.keeps_history() && connection.ping().await.is_err() {
            failed.extend(current);
            break;
        }
        for ((mut fill, before), reply) in current.into_iter().zip(before).zip(replies) {
            let filled = match reply.map(ReadHistory::parse) {
                Ok(Ok(filled)) => {
                    filled.iter().for_each(|filled| context.record_server(&filled.server));
                    filled
                }
                Ok(Err(malformed)) => {
                    failed.push(log_failure(fill, &malformed));
                    continue;
                }
                Err(failure) => {
                    failed.push(log_failure(fill, &failure));
                    continue;
                }
            };
            match apply_page(&context, deliveries, &mut fill, before, filled.as_ref()) {
                PageOutcome::More => again.push(fill),
                PageOutcome::Complete(head) if context.subscriptions.go_live(&fill, &head) == GoLive::Retry => {
                    again.push(fill)
                }
                PageOutcome::Complete(_) => {}
            }
        }
        current = again;
    }
    failed
}

/// Says that a channel can't be filled, the first time.
fn log_failure(mut fill: BackfillTask, reason: &dyn Display) -> BackfillTask {
    if !mem::replace(&mut fill.logged, true) {
        tracing::warn!(channel = fill.channel.as_str(), %reason, "a channel can't be filled from redis yet");
    }
    fill
}

fn read_call(context: &BrokerContext, fill: &BackfillTask, here: Option<Position>) -> ScriptCall<'static> {
    let keys = context.keys.channel(&fill.channel);
    let after = here.filter(|here| *here != Position::START && !fill.from_newest).map(|here| {
        let before_suspect = fill.suspect.map_or(u64::MAX, |suspect| suspect.saturating_sub(1));
        here.offset.min(before_suspect)
    });
    let idle_age_max = context.config.counter_age_max();
    ReadHistory { keys: &keys, after, limit: BACKFILL_PAGE_EVENTS, bytes_max: PAGE_BYTES_MAX, idle_age_max }.call()
}

/// Returns the offset, in the epoch of the head, of the place where a log stands that has heard everything so far: the
/// channel was live, in an epoch of this very server, until an event of another epoch arrived. `None` if something may have been lost all the same.
fn succeeds(context: &BrokerContext, filled: &HistoryPage, here: Position) -> Option<u64> {
    // What one node of a Cluster has acknowledged may not have reached the one that is listened to.
    if context.config.is_cluster() && !context.config.is_sharded() {
        return None;
    }
    match filled.lineage.ends().first() {
        // The same process has another name since its first replica came; a promoted one may lack what others had.
        Some((epoch, offset)) => {
            let is_here = (*epoch, *offset) == (here.epoch, here.offset);
            (is_here && !filled.promoted && !filled.server.is_empty()).then_some(here.offset)
        }
        // Its hash had expired, or the server was emptied. A channel that was deleted has no origins.
        None => (!filled.origins.is_empty()).then_some(0),
    }
}

/// Returns where readers begin that wait for the channel, the first of them for as long as `waited`; `None` if it is at the
/// head. `before` is where the log stood, `until` the offset up to which it is filled.
///
/// Begins early rather than late: a reply that took long to come is taken for one that was written when it came.
fn live_from(
    config: &RedisConfig,
    cold: bool,
    filled: &HistoryPage,
    (before, until): (Option<Position>, u64),
    waited: Duration,
) -> Option<LiveFrom> {
    let at = |offset: u64| Position { offset, ..filled.head };
    if !config.keeps_history() {
        // Nothing tells when an event was published. What was held back came since the readers did.
        let passed = before.is_some_and(|before| !cold && before != at(until));
        return Some(LiveFrom { after: at(until), reset: passed.then_some(ResetReason::TooSlow) });
    }
    let waited_ms = u64::try_from(waited.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX);
    let since_ms = filled.now_ms?.saturating_sub(waited_ms);
    let first = filled.events.iter().position(|event| event.at_ms >= since_ms)?;
    // What comes before the oldest that was answered was published earlier than the history reaches back, or is not known.
    let may_have_left =
        filled.cut || filled.events.len() >= config.history_events_max || waited >= config.history_age_max;
    let after = at(filled.events[first].offset.saturating_sub(1));
    let is_here = before.is_some_and(|before| before.epoch == after.epoch && before.offset >= after.offset);
    let is_unknown = first == 0 && after.offset > 0 && !is_here && may_have_left;
    Some(LiveFrom { after, reset: is_unknown.then_some(ResetReason::TooSlow) })
}

/// Brings a log nearer to where its channel stands. `before` is where the log stood when Redis was asked.
fn apply_page(
    context: &BrokerContext,
    deliveries: &Deliveries,
    fill: &mut BackfillTask,
    before: Option<Position>,
    filled: Option<&HistoryPage>,
) -> PageOutcome {
    let channel = &fill.channel.clone();
    let epoch_of = |position: Option<Position>| position.map(|position| position.epoch);
    if !context.subscriptions.is_wanted(fill) || epoch_of(deliveries.position(channel)) != epoch_of(before) {
        // Somebody else has filled it, or it was forgotten here: what Redis said before that would undo it.
        return PageOutcome::More;
    }
    let Some(filled) = filled else {
        // Never published to, or forgotten, or Redis has lost it: then readers that were further are told.
        let head = Head::new(Position::START);
        deliveries.open_at(channel, &head);
        return PageOutcome::Complete(head);
    };
    let head = head_of(filled);
    let newest = head.position.offset;
    let before = before.filter(|before| *before != Position::START);
    // So in each round until they are told.
    let has_lost = before.is_some_and(|before| context.subscriptions.has_lost(fill, before, &head));
    let before = before.map(|before| {
        let is_origin = before.offset == 0 && filled.origins.contains(&before.epoch);
        if is_origin { Position { offset: 0, ..head.position } } else { before }
    });
    let continues = before.is_some_and(|before| before.epoch == head.position.epoch);
    let ahead = before.filter(|_| continues).map_or(0, |before| newest.saturating_sub(before.offset));
    if let Some(left) = before.filter(|_| !continues && !has_lost && fill.by_arrival && fill.was_current)
        && let Some(offset) = succeeds(context, filled, left)
    {
        let here = head_of(filled).at(offset);
        deliveries.continue_at(channel, &here);
        context.subscriptions.epoch_left(fill, left);
        return PageOutcome::More;
    }
    if let Some(here) = before.filter(|here| here.offset == 0 && !continues && !has_lost)
        && newest == 0
        && !filled.origins.is_empty()
    {
        // The channel was silent and is so again. If something was lost in between, the next event tells, as it does on
        // other channels: all readers of silent channels at once would fetch their state for nothing.
        fill.is_current = fill.was_live && fill.was_current;
        return PageOutcome::Complete(Head::new(here));
    }
    let says_nothing = !continues && newest > 0;
    if before.is_some() && !fill.from_newest && (says_nothing || ahead > GAP_MAX) {
        // What was asked for says nothing, or is only the beginning of too much. The log goes on with the newest; readers
        // that are further behind ask by themselves.
        fill.from_newest = true;
        return PageOutcome::More;
    }
    fill.is_current = filled.current;
    let was_anew = mem::take(&mut fill.from_newest);
    if ahead > 0 && !fill.cold && !mem::replace(&mut fill.counted, true) {
        count(&context.subscriptions.counters.gaps_filled);
    }

    let buffered = context.subscriptions.first_buffered(fill).filter(|buffered| buffered.epoch == head.position.epoch);
    // Without a history, going to where Redis stands would pass over what was published a moment ago and is on its way.
    fill.may_lag = fill.was_live && buffered.is_some() && !context.config.keeps_history();
    let until = buffered.map_or(newest, |buffered| newest.min(buffered.offset - 1));
    // Where the log is there already this changes nothing but the lineage; where older events are gone it goes past them.
    let open_after = |offset: u64| deliveries.open_at(channel, &head.clone().at(offset));
    let events = past_events(filled, deliveries.limits());
    if context.config.keeps_history() {
        let compared_to = events.last().map_or(newest, |last| last.position.offset);
        context.subscriptions.verify_buffered(fill, head.position.epoch, &events, compared_to);
    } else if fill.suspect.take().is_some()
        && let Some(here) = deliveries.position(channel)
    {
        // Nobody can tell which of the two is genuine.
        deliveries.rewind(channel, here.offset);
    }
    if let Some(waited) = deliveries.longest_wait(channel)
        && let Some(from) = live_from(&context.config, fill.cold, filled, (before, until), waited)
    {
        context.subscriptions.set_live_from(fill, from);
    }
    if has_lost {
        if let Some(here) = before.filter(|_| continues) {
            // Opening the log does not tell, nor does giving one without an event the epoch of its channel.
            deliveries.rewind(channel, here.offset);
        }
        context.subscriptions.loss_reported(fill);
    }
    let first = events.first().map_or(newest, |first| first.position.offset.saturating_sub(1));
    open_after(first.min(until));
    for past in events.iter().take_while(|past| past.position.offset <= until) {
        let event = EncodedEvent::new(&past.event);
        match deliveries.append_at(channel, past.position, &event) {
            AppendOutcome::Appended(appended) => drop(appended),
            AppendOutcome::Duplicate | AppendOutcome::Closed => {}
            AppendOutcome::Conflict => {
                deliveries.rewind(channel, past.position.offset.saturating_sub(1));
                drop(deliveries.append_at(channel, past.position, &event));
            }
            // An event before it could not be read: it is passed over as one that is gone.
            AppendOutcome::Gap => {
                open_after(past.position.offset.saturating_sub(1));
                drop(deliveries.append_at(channel, past.position, &event));
            }
        }
    }
    fill.suspect = None;
    let here = deliveries.position(channel);
    let is_there = |here: Position| here.epoch == head.position.epoch && here.offset >= until;
    if events.is_empty() || here.is_some_and(is_there) {
        return PageOutcome::Complete(head);
    }
    // Who waits for a channel that nobody has read of late begins at its end, however much lies between.
    fill.from_newest = fill.cold && !was_anew;
    PageOutcome::More
}
