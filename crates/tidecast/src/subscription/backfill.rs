//! A reader that is not where its log is: page by page from the broker's history, until the log has what follows.
//!
//! A page is the only thing that a subscriber ever owns. How much one refill may read is bounded; what goes beyond is
//! told by a reset.

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
    channel_log::{Begin, ChannelLog, Place},
    hub::Inner,
    limits::BACKFILL_PAGE_EVENTS,
    log::FrameBounds,
    wire,
};

/// See the module.
pub(crate) struct Refill {
    /// What was read last, or is to be gone on after.
    after: Position,
    /// `after` is a client's word: no log of this node, and no answer of the broker, has had it.
    claimed: bool,
    /// What to tell where the broker no longer has what follows; `None`: nothing.
    if_gone: Option<ResetReason>,
    asked: Option<BrokerFuture<'static, History>>,
    bytes: Bytes,
    frames: VecDeque<FrameBounds>,
    /// What may still be read; `None` before the first look.
    left: Option<BackfillLimits>,
    /// The epoch that the log was in when the broker said that it has come to `after`, so that the log will. In another
    /// one it may not.
    awaited: Option<Epoch>,
    /// The first look at how far away the log is was taken.
    measured: bool,
}

/// What a refill has.
#[derive(Debug)]
pub(crate) enum Page {
    /// Frames to be [taken](Refill::take), and the position just before them.
    Frames { before: Position },
    /// Nothing more: the log has what follows.
    InLog(Begin),
    /// Events are missing before what comes next; the reason to tell, if any.
    Gone(Option<ResetReason>),
    /// Nothing follows yet. When the log is appended to, it may. What is in the log now, before the local number `head`,
    /// precedes what is waited for.
    NotYet { head: u64 },
    /// The broker is closed.
    Closed,
}

impl fmt::Debug for Refill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refill").field("after", &self.after).field("frames", &self.frames.len()).finish_non_exhaustive()
    }
}

impl Refill {
    /// After a position before what the log has.
    pub(crate) fn behind(after: Position, if_gone: Option<ResetReason>) -> Self {
        Self {
            after,
            claimed: false,
            if_gone,
            asked: None,
            bytes: Bytes::new(),
            frames: VecDeque::new(),
            left: None,
            awaited: None,
            measured: false,
        }
    }

    /// After a position that the log has not come to.
    pub(crate) fn ahead(after: Position) -> Self {
        Self { claimed: true, ..Self::behind(after, Some(ResetReason::Expired)) }
    }

    /// Finds what comes next. Every answer but `Frames` and `NotYet` changes what the next one is.
    pub(crate) fn poll(&mut self, log: &ChannelLog, hub: &Arc<Inner>, context: &mut Context<'_>) -> Poll<Page> {
        loop {
            if let Some(first) = self.frames.front() {
                return Poll::Ready(Page::Frames { before: before(first.position) });
            }
            let left = *self.left.get_or_insert_with(|| hub.backfill_limits());
            let begin = log.seek(self.after, true, self.claimed);
            if let Place::Behind { after, .. } = begin.place {
                // The same place, as the log's present epoch has it.
                self.after = after;
            }
            // With a reset the log is in another epoch by now, and what was asked for is of no use.
            if begin.reset.is_some() || matches!(begin.place, Place::Log { .. }) {
                return Poll::Ready(Page::InLog(begin));
            }
            if let Place::Ahead { epoch, head, .. } = begin.place
                && self.awaited == Some(epoch)
            {
                return Poll::Ready(Page::NotYet { head });
            }
            if matches!(begin.place, Place::Behind { .. }) {
                if !mem::replace(&mut self.measured, true) && self.jump(log, left.events_max) {
                    return Poll::Ready(Page::Gone(self.if_gone));
                }
                if left.events_max == 0 || left.bytes_max == 0 {
                    return self.skip_to_log(log, self.if_gone);
                }
            }

            let limit = match begin.place {
                // All that is wanted is whether the broker has come to it.
                Place::Ahead { .. } => 1,
                _ => left.events_max.min(BACKFILL_PAGE_EVENTS),
            };
            let since = Since::After(if log.is_start(self.after) { Position::START } else { self.after });
            let asked = self.asked.get_or_insert_with(|| hub.backfill(log.channel(), since, limit));
            let answer = match asked.as_mut().poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(answer) => answer,
            };
            self.asked = None;
            match (answer, begin.place) {
                (Err(error), _) if error.is_closed() => return Poll::Ready(Page::Closed),
                // The broker knows the position, so the log will get there. It rings when it comes nearer.
                (Ok(history), Place::Ahead { epoch, head, .. }) if history.has_come_to(self.after) => {
                    self.awaited = Some(epoch);
                    self.if_gone = Some(ResetReason::TooSlow);
                    return Poll::Ready(Page::NotYet { head });
                }
                (_, Place::Ahead { if_unknown, .. }) => return self.skip_to_log(log, Some(if_unknown)),
                (Err(_), _) => return self.skip_to_log(log, self.if_gone),
                (Ok(history), _) => {
                    let complete = self.fill(&history, log.tail(), left);
                    // What is missing from here on was still there when the reader began.
                    let reason = self.if_gone.replace(ResetReason::TooSlow);
                    if self.frames.is_empty() && !complete {
                        return self.skip_to_log(log, reason);
                    }
                    self.claimed = false;
                    if !complete {
                        return Poll::Ready(Page::Gone(reason));
                    }
                }
            }
        }
    }

    /// Takes frames of the page, up to a number of bytes and of frames, but at least one; answers with how many, too.
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

    /// What is further away than one refill may read is not begun with. Returns whether it went past something.
    fn jump(&mut self, log: &ChannelLog, events_max: usize) -> bool {
        let head = log.head();
        let nearest = head.offset.saturating_sub(events_max as u64);
        let too_far = self.after.offset < nearest;
        if too_far {
            self.after = Position { offset: nearest, ..head };
            self.claimed = false;
        }
        too_far
    }

    /// Goes on with the oldest that the log has.
    fn skip_to_log(&mut self, log: &ChannelLog, reason: Option<ResetReason>) -> Poll<Page> {
        self.after = log.tail();
        self.claimed = false;
        Poll::Ready(Page::Gone(reason))
    }

    /// Encodes a page, up to where the log has it too: from there on the log also has what no history has. Returns whether
    /// the history goes on right after what was read last.
    ///
    /// A page ends before a hole, and with the bytes that are left: the next one is asked for after it.
    fn fill(&mut self, history: &History, tail: Position, mut left: BackfillLimits) -> bool {
        let mut bytes = BytesMut::new();
        let (mut last, mut complete) = (None, false);
        let known = |past: &&PastEvent| past.position.offset <= self.after.offset;
        for past in history.events.iter().skip_while(known).take(BACKFILL_PAGE_EVENTS) {
            let position = past.position;
            match last {
                None => complete = history.complete && follows(self.after, position),
                Some(last) if !follows(last, position) => break,
                Some(_) => {}
            }
            let in_log = position.epoch == tail.epoch && position.offset > tail.offset;
            if in_log || bytes.len() >= left.bytes_max {
                break;
            }
            self.frames.push_back(wire::put(&mut bytes, position, &past.event));
            last = Some(position);
        }
        left.events_max = left.events_max.saturating_sub(self.frames.len());
        left.bytes_max = left.bytes_max.saturating_sub(bytes.len());
        self.left = Some(left);
        self.bytes = bytes.freeze();
        complete
    }
}

fn before(position: Position) -> Position {
    Position { offset: position.offset.saturating_sub(1), ..position }
}

/// Whether nothing lies between two positions.
fn follows(position: Position, next: Position) -> bool {
    let same_epoch = position.epoch == next.epoch || position.offset == 0;
    same_epoch && before(next).offset == position.offset
}
