//! Whole subscriptions: those with several channels, a reset or a page of history to be told, and how they come to stand.

use std::task::{Context, Poll};

use tidecast::{LogCursor, limits::READ_BYTES_DEFAULT};
use tidecast_axum::internals::jitter;

use super::{
    chunk::{Pending, Written, write},
    connections::{Connections, WRITES_MAX},
    entry::{Source, Whole},
    slab::Token,
};

impl Connections {
    /// Gives a whole subscription's connection what the subscription has. One that has no more, and nothing of its own,
    /// stands from then on.
    pub(super) fn serve_whole(&mut self, token: Token) {
        let mut batch = std::mem::take(&mut self.batch);
        for turn in 0..=WRITES_MAX {
            let Some(entry) = self.entries.get_mut(token) else { break };
            if entry.blocked_at.is_some() {
                break;
            }
            let Source::Whole(whole) = &mut entry.source else { break };
            if turn == WRITES_MAX {
                self.woken.push_back(token);
                break;
            }
            whole.listen();
            let waker = whole.waker.clone();
            match whole.subscription.poll_batch(&mut Context::from_waker(&waker), &mut batch, READ_BYTES_DEFAULT) {
                Poll::Ready(true) => {
                    let bytes = batch.take_bytes();
                    let written = match write(&entry.socket, &bytes, entry.framing) {
                        // It has left the subscription, so it is kept.
                        Written::Nothing => Written::Part(Pending::new(bytes, entry.framing)),
                        written => written,
                    };
                    if !self.after(token, written) {
                        break;
                    }
                }
                Poll::Ready(false) => {
                    self.end_stream(token, jitter(&self.options.end_retry));
                    break;
                }
                Poll::Pending => {
                    self.stand(token);
                    break;
                }
            }
        }
        batch.release();
        self.batch = batch;
    }

    /// Has a whole subscription stand at the tap of its channel, if it is one that can.
    fn stand(&mut self, token: Token) {
        let Some(entry) = self.entries.get_mut(token) else { return };
        let Source::Whole(whole) = &entry.source else { return };
        if whole.subscription.channels().count() != 1 {
            return;
        }
        let Source::Whole(whole) = std::mem::replace(&mut entry.source, Source::Gone) else { return };
        match whole.stand(&mut self.taps) {
            Ok((key, spot)) => {
                let index = self.channels.join(key, token);
                entry.source = Source::Standing { key, index, spot };
                // What came before it stood there was not told.
                self.serve(token);
            }
            Err(whole) => entry.source = Source::Whole(whole),
        }
    }

    /// Makes a reader at a tap a whole subscription again. It is polled by the reactor's own thread, as its broker may
    /// need what only that has.
    pub(super) fn lift(&mut self, token: Token, key: u32, spot: LogCursor) {
        let lifted = self.taps.into_subscription(key, spot);
        self.leave_list(token);
        match lifted {
            Some(subscription) => {
                let whole = Whole::new(subscription, token, &self.inbox);
                if let Some(entry) = self.entries.get_mut(token) {
                    entry.source = Source::Whole(whole);
                    self.woken.push_back(token);
                }
            }
            None => self.remove(token),
        }
    }
}
