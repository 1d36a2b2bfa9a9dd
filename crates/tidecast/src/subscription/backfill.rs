//! Serving a reader that its log can't serve: pages of the broker's history, until the log has the next event.
//!
//! A page is the only thing that a subscriber ever owns. The size of one backfill is bounded; if the reader needs more, it
//! is told by a reset.

use std::{
    collections::VecDeque,
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};

use crate::{
    Epoch, Position, ResetReason,
    broker::{BackfillLimits, BrokerFuture, History, PastEvent, Since},
    channel_log::ChannelLog,
    hub::HubState,
    limits::BACKFILL_PAGE_EVENTS,
    log::{PositionStatus, ReadSource, StartPoint},
    wire::frame::{FrameBounds, put_frame},
};

pub(crate) struct Backfill {
    /// The position that was read last, or is to be continued after.
    after: Position,
    status: PositionStatus,
    /// The reset to report if the broker no longer has the next events; `None` reports nothing.
    if_gone: Option<ResetReason>,
    request: Option<BrokerFuture<'static, History>>,
    bytes: Bytes,
    frames: VecDeque<FrameBounds>,
    /// The events and bytes that may still be read; `None` before the first poll.
    left: Option<BackfillLimits>,
    /// The epoch of the log when the broker said that it has reached `after`, so that the log will too. In another epoch it
    /// may not.
    awaited: Option<Epoch>,
    /// The distance to the log was checked.
    is_measured: bool,
}

/// The next step of a backfill.
#[derive(Debug)]
pub(crate) enum BackfillStep {
    /// Frames to be [taken](Backfill::take), and the position just before them.
    Frames { before: Position },
    /// The log has the next events.
    InLog(StartPoint),
    /// Events are missing before the next one; the reset to report, if any.
    Gone(Option<ResetReason>),
    /// Nothing follows yet. It may when the log is appended to. Everything in the log below the sequence number `head`
    /// precedes the position that is waited for.
    NotYet { head: u64 },
    /// The broker is closed.
    Closed,
}

impl fmt::Debug for Backfill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backfill")
            .field("after", &self.after)
            .field("frames", &self.frames.len())
            .finish_non_exhaustive()
    }
}

impl Backfill {
    /// Starts after a position that is older than the log.
    pub(crate) fn behind(after: Position, if_gone: Option<ResetReason>) -> Self {
        Self {
            after,
            status: PositionStatus::Known,
            if_gone,
            request: None,
            bytes: Bytes::new(),
            frames: VecDeque::new(),
            left: None,
            awaited: None,
            is_measured: false,
        }
    }

    /// Starts after a position that the log has not reached.
    pub(crate) fn ahead(after: Position) -> Self {
        Self { status: PositionStatus::Claimed, ..Self::behind(after, Some(ResetReason::Expired)) }
    }

    /// Finds what comes next. After anything but `Frames` and `NotYet`, the next call continues from there.
    pub(crate) fn poll(
        &mut self,
        log: &ChannelLog,
        hub: &Arc<HubState>,
        context: &mut Context<'_>,
    ) -> Poll<BackfillStep> {
        loop {
            if let Some(first) = self.frames.front() {
                return Poll::Ready(BackfillStep::Frames { before: before(first.position) });
            }
            let left = *self.left.get_or_insert_with(|| hub.backfill_limits());
            let start = log.seek(self.after, self.status);
            if let ReadSource::Behind { after, .. } = start.source {
                // The same place, in the log's present epoch.
                self.after = after;
            }
            // A reset means that the log is in another epoch now, so that the request is of no use.
            if start.reset.is_some() || matches!(start.source, ReadSource::Log { .. }) {
                return Poll::Ready(BackfillStep::InLog(start));
            }
            if let ReadSource::Ahead { epoch, head, .. } = start.source
                && self.awaited == Some(epoch)
            {
                return Poll::Ready(BackfillStep::NotYet { head });
            }
            if matches!(start.source, ReadSource::Behind { .. }) {
                if !mem::replace(&mut self.is_measured, true) && self.skip_excess(log, left.events_max) {
                    return Poll::Ready(BackfillStep::Gone(self.if_gone));
                }
                if left.events_max == 0 || left.bytes_max == 0 {
                    return self.skip_to_log(log, self.if_gone);
                }
            }

            let limit = match start.source {
                // The only question is whether the broker has reached the position.
                ReadSource::Ahead { .. } => 1,
                _ => left.events_max.min(BACKFILL_PAGE_EVENTS),
            };
            let since = Since::After(if log.is_start(self.after) { Position::START } else { self.after });
            let request = self.request.get_or_insert_with(|| hub.backfill(log.channel(), since, limit));
            let answer = match request.as_mut().poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(answer) => answer,
            };
            self.request = None;
            match (answer, start.source) {
                (Err(error), _) if error.is_closed() => return Poll::Ready(BackfillStep::Closed),
                // The broker knows the position, so the log will get there, and notifies its readers on the way.
                (Ok(history), ReadSource::Ahead { epoch, head, .. }) if history.has_reached(self.after) => {
                    self.awaited = Some(epoch);
                    self.if_gone = Some(ResetReason::TooSlow);
                    return Poll::Ready(BackfillStep::NotYet { head });
                }
                (_, ReadSource::Ahead { if_unknown, .. }) => return self.skip_to_log(log, Some(if_unknown)),
                (Err(_), _) => return self.skip_to_log(log, self.if_gone),
                (Ok(history), _) => {
                    let tail = log.tail();
                    let mut is_complete = self.fill(&history, tail, left);
                    // Events that are missing from here on were still there when the reader started.
                    let mut reason = self.if_gone.replace(ResetReason::TooSlow);
                    if self.begins_elsewhere(tail) {
                        (is_complete, reason) = (false, Some(ResetReason::Restarted));
                    }
                    if self.frames.is_empty() && !is_complete {
                        return self.skip_to_log(log, reason);
                    }
                    self.status = PositionStatus::Known;
                    if !is_complete {
                        return Poll::Ready(BackfillStep::Gone(reason));
                    }
                }
            }
        }
    }

    /// Takes frames of the page, up to a number of bytes and of frames, but at least one. Also returns how many.
    pub(crate) fn take(
        &mut self,
        bytes_max: usize,
        frames_max: usize,
        frames: &mut impl Extend<FrameBounds>,
    ) -> (Bytes, u64) {
        let (mut len, mut count) = (0, 0);
        while let Some(frame) = self.frames.front() {
            if count > 0 && (len + frame.len > bytes_max || count >= frames_max) {
                break;
            }
            len += frame.len;
            count += 1;
            self.after = frame.position;
            frames.extend(self.frames.pop_front());
        }
        (self.bytes.split_to(len), count as u64)
    }

    /// Skips the events that are further from the log's head than one backfill may read. Returns whether there were any.
    fn skip_excess(&mut self, log: &ChannelLog, events_max: usize) -> bool {
        let head = log.head();
        let nearest = head.offset.saturating_sub(events_max as u64);
        let is_too_far = self.after.offset < nearest;
        if is_too_far {
            self.after = Position { offset: nearest, ..head };
            self.status = PositionStatus::Known;
        }
        is_too_far
    }

    /// Continues with the oldest event in the log.
    fn skip_to_log(&mut self, log: &ChannelLog, reason: Option<ResetReason>) -> Poll<BackfillStep> {
        self.after = log.tail();
        self.status = PositionStatus::Known;
        Poll::Ready(BackfillStep::Gone(reason))
    }

    /// Returns whether the page begins an epoch that the log has not heard of. Every epoch begins at offset 0, but this one
    /// may lack events that the log has had.
    fn begins_elsewhere(&self, tail: Position) -> bool {
        let is_other = |first: &FrameBounds| first.position.epoch != tail.epoch;
        self.after.offset == 0 && tail.offset > 0 && self.frames.front().is_some_and(is_other)
    }

    /// Encodes a page up to where the log has the events too: from there on the log also has the foreign events, which no
    /// history has. Returns whether the history continues right after the position that was read last.
    ///
    /// A page ends before a hole, and at the bytes that are left. The next page is requested after it.
    fn fill(&mut self, history: &History, tail: Position, mut left: BackfillLimits) -> bool {
        let mut bytes = BytesMut::new();
        let (mut last, mut is_complete) = (None, false);
        let is_known = |past: &&PastEvent| past.position.offset <= self.after.offset;
        for past in history.events.iter().skip_while(is_known).take(BACKFILL_PAGE_EVENTS) {
            let position = past.position;
            match last {
                None => is_complete = history.complete && follows(self.after, position),
                Some(last) if !follows(last, position) => break,
                Some(_) => {}
            }
            let is_in_log = position.epoch == tail.epoch && position.offset > tail.offset;
            if is_in_log || bytes.len() >= left.bytes_max {
                break;
            }
            self.frames.push_back(put_frame(&mut bytes, position, &past.event));
            last = Some(position);
        }
        left.events_max = left.events_max.saturating_sub(self.frames.len());
        left.bytes_max = left.bytes_max.saturating_sub(bytes.len());
        self.left = Some(left);
        self.bytes = bytes.freeze();
        is_complete
    }
}

fn before(position: Position) -> Position {
    Position { offset: position.offset.saturating_sub(1), ..position }
}

/// Returns whether nothing lies between two positions.
fn follows(position: Position, next: Position) -> bool {
    let same_epoch = position.epoch == next.epoch || position.offset == 0;
    same_epoch && before(next).offset == position.offset
}
