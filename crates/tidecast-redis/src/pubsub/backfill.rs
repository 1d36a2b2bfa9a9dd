//! Backfills: a channel's log is brought to the position of the channel in Redis, and then the channel goes live.
//!
//! Many channels are backfilled at once, in rounds: each round reads a page of each in one pipeline. A worker starts this
//! after it has subscribed, and whenever a message does not follow the log. It gets back the channels that failed.

#[cfg(test)]
mod tests;

use std::{fmt::Display, mem, sync::Arc, time::Duration};

use tidecast::{
    Channel, Position, ResetReason,
    broker::{AppendOutcome, Deliveries, EncodedEvent, Head, PastEvent},
    limits::BACKFILL_PAGE_EVENTS,
};

use crate::{
    commands::ScriptCall,
    config::{ChannelKind, RedisConfig},
    pubsub::context::{BrokerContext, PAGE_BYTES_MAX},
    pubsub::{
        connection::PubSubConnection,
        subscriptions::{BackfillCause, BackfillTask, GoLive, LiveFrom},
    },
    scripts::{HistoryPage, ReadHistory},
    stats::count,
    supervise::FailPoint,
};

/// The most channels read in one pipeline.
pub(crate) const CHANNELS_PER_BATCH: usize = 32;

/// The largest gap that is filled in a log. Beyond it the log continues with the newest events, and each reader reads the
/// rest from the history by itself.
const GAP_MAX: u64 = 10_000;

/// The outcome of a round for one channel.
enum PageOutcome {
    /// Another round is needed.
    More,
    /// The log is at the head, which is given.
    Complete(Head),
}

/// Backfills channels, except those whose task is stale. Returns those that failed, for the caller to retry later: they
/// must not keep the others waiting.
pub(crate) async fn backfill(
    context: Arc<BrokerContext>,
    connection: &PubSubConnection,
    mut tasks: Vec<BackfillTask>,
) -> Vec<BackfillTask> {
    let mut failed = Vec::new();
    while !context.is_closed() {
        tasks.retain_mut(|task| context.subscriptions.begin_round(task));
        let Some(deliveries) = context.subscriptions.deliveries().filter(|_| !tasks.is_empty()) else { break };
        context.fail_points.trip(FailPoint::Backfill);
        let before: Vec<_> = tasks.iter().map(|task| deliveries.position(&task.channel)).collect();
        let calls = tasks.iter().zip(&before).map(|(task, here)| history_call(&context, task, *here)).collect();
        let replies = context.commands.call_all(calls).await;
        // Without a history every event must be received. Once this connection has answered too, all that was published
        // before the calls has arrived, and is buffered.
        if !context.config.keeps_history() && connection.ping().await.is_err() {
            failed.extend(tasks);
            break;
        }
        let mut again = Vec::new();
        for ((mut task, before), reply) in tasks.into_iter().zip(before).zip(replies) {
            let page = match reply.map(ReadHistory::parse) {
                Ok(Ok(page)) => page,
                Ok(Err(malformed)) => {
                    failed.push(log_failure(task, &malformed));
                    continue;
                }
                Err(error) => {
                    failed.push(log_failure(task, &error));
                    continue;
                }
            };
            if let Some(page) = &page {
                context.record_server(&page.server);
            }
            let is_done = match apply_page(&context, deliveries, &mut task, before, page.as_ref()) {
                PageOutcome::More => false,
                PageOutcome::Complete(head) => context.subscriptions.go_live(&task, &head) == GoLive::Done,
            };
            if !is_done {
                again.push(task);
            }
        }
        tasks = again;
    }
    failed
}

/// Logs the first failure of a task.
fn log_failure(mut task: BackfillTask, reason: &dyn Display) -> BackfillTask {
    if !mem::replace(&mut task.logged, true) {
        tracing::warn!(channel = task.channel.as_str(), %reason, "redis: cannot backfill a channel; retrying");
    }
    task
}

fn history_call(context: &BrokerContext, task: &BackfillTask, here: Option<Position>) -> ScriptCall<'static> {
    let keys = context.keys.channel(&task.channel);
    let after = here.filter(|here| *here != Position::START && !task.from_newest).map(|here| {
        let before_suspect = task.verify_from.map_or(u64::MAX, |suspect| suspect.saturating_sub(1));
        here.offset.min(before_suspect)
    });
    let idle_age_max = context.config.counter_age_max();
    ReadHistory { keys: &keys, after, limit: BACKFILL_PAGE_EVENTS, bytes_max: PAGE_BYTES_MAX, idle_age_max }.call()
}

/// Returns the offset of a log's position in the epoch of the head, if the log has missed nothing: the channel was live,
/// in an epoch of this very server, until an event of another epoch arrived.
fn succeeding_offset(context: &BrokerContext, page: &HistoryPage, here: Position) -> Option<u64> {
    // An event acknowledged by one node of a Cluster may not have reached the one that is listened to.
    if context.config.is_cluster() && context.config.channel_kind() == ChannelKind::Plain {
        return None;
    }
    match page.lineage.ends().first() {
        // A server changes its id when its first replica connects. A promoted one may lack what others had.
        Some((epoch, offset)) => {
            let is_here = (*epoch, *offset) == (here.epoch, here.offset);
            (is_here && !page.promoted && !page.server.is_empty()).then_some(here.offset)
        }
        // The hash expired, or the server was emptied. A channel that was deleted has no origins.
        None => (!page.origins.is_empty()).then_some(0),
    }
}

/// Returns where waiting readers begin, of which the first has waited for `waited`; `None` if that is the head. `before` is
/// the log's position at the time of the call, and `until` the offset up to which it is filled.
///
/// Errs on the early side: a reply that was long under way counts as written when it arrived.
fn live_from(
    config: &RedisConfig,
    cold: bool,
    page: &HistoryPage,
    (before, until): (Option<Position>, u64),
    waited: Duration,
) -> Option<LiveFrom> {
    let at = |offset: u64| Position { offset, ..page.head };
    if !config.keeps_history() {
        // The time of an event is not known. Buffered events arrived after the readers did.
        let has_moved = before.is_some_and(|before| !cold && before != at(until));
        return Some(LiveFrom { after: at(until), reset: has_moved.then_some(ResetReason::TooSlow) });
    }
    let waited_ms = u64::try_from(waited.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX);
    let since_ms = page.now_ms?.saturating_sub(waited_ms);
    let first = page.events.iter().position(|event| event.at_ms >= since_ms)?;
    // Events before the first of the page are older than the history, or not known.
    let may_have_left = page.cut || page.events.len() >= config.history_events_max || waited >= config.history_age_max;
    let after = at(page.events[first].offset.saturating_sub(1));
    let is_here = before.is_some_and(|before| before.epoch == after.epoch && before.offset >= after.offset);
    let is_unknown = first == 0 && after.offset > 0 && !is_here && may_have_left;
    Some(LiveFrom { after, reset: is_unknown.then_some(ResetReason::TooSlow) })
}

/// Applies a page to a log, whose position at the time of the call was `before`: continues in another epoch, asks for another
/// page, or fills the log.
fn apply_page(
    context: &BrokerContext,
    deliveries: &Deliveries,
    task: &mut BackfillTask,
    before: Option<Position>,
    page: Option<&HistoryPage>,
) -> PageOutcome {
    let subscriptions = &context.subscriptions;
    let channel = &task.channel.clone();
    let epoch_of = |position: Option<Position>| position.map(|position| position.epoch);
    if !subscriptions.is_current(task) || epoch_of(deliveries.position(channel)) != epoch_of(before) {
        // Another task filled the log, or the channel was deleted here: an older reply would undo that.
        return PageOutcome::More;
    }
    let Some(page) = page else {
        // Never published to, deleted, or lost by Redis: readers that were further are reset.
        let head = Head::new(Position::START);
        deliveries.open_at(channel, &head);
        return PageOutcome::Complete(head);
    };
    let head = page.to_head();
    let newest = head.position.offset;
    let before = before.filter(|before| *before != Position::START);
    // True in each round until the readers are told.
    let has_lost = before.is_some_and(|before| subscriptions.has_lost(task, before, &head));
    let before = before.map(|before| {
        let is_origin = before.offset == 0 && page.origins.contains(&before.epoch);
        if is_origin { Position { offset: 0, ..head.position } } else { before }
    });
    let continues = before.is_some_and(|before| before.epoch == head.position.epoch);
    let ahead = before.filter(|_| continues).map_or(0, |before| newest.saturating_sub(before.offset));
    let by_message = task.cause == BackfillCause::OutOfOrder;
    if let Some(left) = before.filter(|_| !continues && !has_lost && by_message && task.was_current)
        && let Some(offset) = succeeding_offset(context, page, left)
    {
        deliveries.continue_at(channel, &page.to_head().at(offset));
        subscriptions.epoch_left(task, left);
        return PageOutcome::More;
    }
    if let Some(here) = before.filter(|here| here.offset == 0 && !continues && !has_lost)
        && newest == 0
        && !page.origins.is_empty()
    {
        // The channel was empty and is so again. If something was lost in between, the next event tells it. Resetting the
        // readers of all empty channels at once would have them fetch their state for nothing.
        task.is_current = task.was_live() && task.was_current;
        return PageOutcome::Complete(Head::new(here));
    }
    let is_useless = !continues && newest > 0;
    if before.is_some() && !task.from_newest && (is_useless || ahead > GAP_MAX) {
        // The page follows another epoch's offset, or begins a gap that is too large.
        task.from_newest = true;
        return PageOutcome::More;
    }
    if ahead > 0 && !task.cold && !mem::replace(&mut task.counted, true) {
        count(&subscriptions.counters.gaps_filled);
    }
    task.is_current = page.current;
    if has_lost {
        subscriptions.loss_reported(task);
    }
    fill_log(context, deliveries, task, page, &LogBefore { position: before, continues, has_lost })
}

/// A log at the time of the call.
struct LogBefore {
    position: Option<Position>,
    /// Its epoch is that of the head.
    continues: bool,
    has_lost: bool,
}

/// Brings a log to the end of a page, or to the first buffered event.
fn fill_log(
    context: &BrokerContext,
    deliveries: &Deliveries,
    task: &mut BackfillTask,
    page: &HistoryPage,
    before: &LogBefore,
) -> PageOutcome {
    let subscriptions = &context.subscriptions;
    let channel = &task.channel.clone();
    let head = page.to_head();
    let newest = head.position.offset;
    let was_from_newest = mem::take(&mut task.from_newest);
    let buffered = subscriptions.first_buffered(task).filter(|position| position.epoch == head.position.epoch);
    // Without a history, a log at the head would pass over what was published a moment ago and is on its way.
    task.may_lag = task.was_live() && buffered.is_some() && !context.config.keeps_history();
    let until = buffered.map_or(newest, |position| newest.min(position.offset - 1));
    let events = page.decode_events(deliveries.limits());
    if context.config.keeps_history() {
        let verified_to = events.last().map_or(newest, |last| last.position.offset);
        subscriptions.correct_buffered(task, head.position.epoch, &events, verified_to);
    } else if task.verify_from.take().is_some()
        && let Some(here) = deliveries.position(channel)
    {
        // Without a history it cannot be known which of the two events is genuine.
        deliveries.rewind(channel, here.offset);
    }
    if let Some(waited) = deliveries.longest_wait(channel)
        && let Some(from) = live_from(&context.config, task.cold, page, (before.position, until), waited)
    {
        subscriptions.set_live_from(task, from);
    }
    if let Some(here) = before.position.filter(|_| before.has_lost && before.continues) {
        // Opening the log in its own epoch resets no reader.
        deliveries.rewind(channel, here.offset);
    }
    append_page(deliveries, channel, &head, &events, until);
    task.verify_from = None;
    let here = deliveries.position(channel);
    let is_there = |here: Position| here.epoch == head.position.epoch && here.offset >= until;
    if events.is_empty() || here.is_some_and(is_there) {
        return PageOutcome::Complete(head);
    }
    // A channel that has been unread for long begins at its end, however much lies between.
    task.from_newest = task.cold && !was_from_newest;
    PageOutcome::More
}

/// Opens the log before the first of the events and appends them, up to an offset.
fn append_page(deliveries: &Deliveries, channel: &Channel, head: &Head, events: &[PastEvent], until: u64) {
    // On a log that is there already this changes the lineage only; where older events are gone it skips them.
    let open_after = |offset: u64| deliveries.open_at(channel, &head.clone().at(offset));
    let first = events.first().map_or(head.position.offset, |first| first.position.offset.saturating_sub(1));
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
            // An event before it could not be decoded, and is skipped as if it were gone.
            AppendOutcome::Gap => {
                open_after(past.position.offset.saturating_sub(1));
                drop(deliveries.append_at(channel, past.position, &event));
            }
        }
    }
}
