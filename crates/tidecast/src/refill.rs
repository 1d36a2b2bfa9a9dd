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
    Position, ResetReason,
    broker::{BrokerFuture, History, PastEvent, Since},
    channel_log::{Begin, ChannelLog, Place},
    frame,
    hub::Inner,
    limits::{REFILL_BYTES_MAX, REFILL_EVENTS_MAX, REFILL_PAGE_EVENTS},
    log::FrameBounds,
};

/// See the module.
pub(crate) struct Refill {
    /// What was read last, or is to be gone on after.
    after: Position,
    /// What to tell where the broker no longer has what follows; `None`: nothing.
    if_gone: Option<ResetReason>,
    asked: Option<BrokerFuture<'static, History>>,
    bytes: Bytes,
    frames: VecDeque<FrameBounds>,
    events_left: usize,
    bytes_left: usize,
    /// The broker said that nothing follows yet, though this node's log is not as far.
    ahead: bool,
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
    /// Nothing follows yet. When the log is appended to, it may.
    NotYet,
    /// The broker is closed.
    Closed,
}

impl fmt::Debug for Refill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refill").field("after", &self.after).field("frames", &self.frames.len()).finish_non_exhaustive()
    }
}

impl Refill {
    pub(crate) fn new(after: Position, if_gone: Option<ResetReason>) -> Self {
        Self {
            after,
            if_gone,
            asked: None,
            bytes: Bytes::new(),
            frames: VecDeque::new(),
            events_left: REFILL_EVENTS_MAX,
            bytes_left: REFILL_BYTES_MAX,
            ahead: false,
            measured: false,
        }
    }

    /// Finds what comes next. Every answer but `Frames` and `NotYet` changes what the next one is.
    pub(crate) fn poll(&mut self, log: &ChannelLog, hub: &Arc<Inner>, context: &mut Context<'_>) -> Poll<Page> {
        loop {
            if let Some(first) = self.frames.front() {
                return Poll::Ready(Page::Frames { before: before(first.position) });
            }
            let begin = log.seek(self.after, true);
            let Place::Elsewhere { if_gone, .. } = begin.place else { return Poll::Ready(Page::InLog(begin)) };
            if begin.reset.is_some() {
                // The log is in another epoch by now.
                return Poll::Ready(Page::InLog(begin));
            }
            let is_ahead = if_gone == Some(ResetReason::UnknownId);
            if is_ahead && self.ahead {
                return Poll::Ready(Page::NotYet);
            }
            if !mem::replace(&mut self.measured, true) && self.jump(log) {
                return Poll::Ready(Page::Gone(self.if_gone));
            }
            if self.events_left == 0 || self.bytes_left == 0 {
                return self.skip_to_log(log, self.if_gone);
            }

            let (since, limit) = (Since::After(self.after), self.events_left.min(REFILL_PAGE_EVENTS));
            let asked = self.asked.get_or_insert_with(|| hub.refill(log.channel(), since, limit));
            let answer = match asked.as_mut().poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(answer) => answer,
            };
            self.asked = None;
            match answer {
                // The broker knows the position, so the log will get there.
                Ok(history) if is_ahead && history.complete => self.ahead = true,
                Ok(history) => {
                    self.fill(&history, log.tail());
                    // What is missing from here on was still there when the reader began.
                    let reason = mem::replace(&mut self.if_gone, Some(ResetReason::TooSlow));
                    if self.frames.is_empty() && (history.events.is_empty() || !history.complete) {
                        return self.skip_to_log(log, reason);
                    }
                    if !history.complete {
                        return Poll::Ready(Page::Gone(reason));
                    }
                }
                Err(error) if error.is_closed() => return Poll::Ready(Page::Closed),
                Err(_) => return self.skip_to_log(log, self.if_gone),
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

    /// What is further away than one refill may read is not begun with. Tells whether it went past something.
    fn jump(&mut self, log: &ChannelLog) -> bool {
        let head = log.head();
        let nearest = head.offset.saturating_sub(REFILL_EVENTS_MAX as u64);
        let too_far = self.after.offset < nearest;
        if too_far {
            self.after = Position { offset: nearest, ..head };
        }
        too_far
    }

    /// Goes on with the oldest that the log has.
    fn skip_to_log(&mut self, log: &ChannelLog, reason: Option<ResetReason>) -> Poll<Page> {
        self.after = log.tail();
        Poll::Ready(Page::Gone(reason))
    }

    /// Encodes a page, up to where the log has it too: from there on the log also has what no history has.
    fn fill(&mut self, history: &History, tail: Position) {
        let mut bytes = BytesMut::new();
        let in_log = |event: &&PastEvent| event.position.epoch == tail.epoch && event.position.offset > tail.offset;
        for past in history.events.iter().take_while(|event| !in_log(event)) {
            self.frames.push_back(frame::put(&mut bytes, past.position, &past.event));
        }
        self.events_left -= self.frames.len().min(self.events_left);
        self.bytes_left = self.bytes_left.saturating_sub(bytes.len());
        self.bytes = bytes.freeze();
    }
}

fn before(position: Position) -> Position {
    Position { offset: position.offset - 1, ..position }
}
