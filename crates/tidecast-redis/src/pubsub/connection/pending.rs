//! The replies that a pub/sub connection waits for, in the order of the requests.
//!
//! A confirmation counts only for a name and kind that were requested, so an unsolicited one has no effect.

use std::collections::{HashSet, VecDeque};

use parking_lot::Mutex;
use redis::{PushKind, Value};
use tokio::sync::{oneshot, watch};

use crate::{
    error::CallError,
    reply::{ReplyOutcome, role},
};

/// A queue of awaited replies.
#[derive(Debug)]
pub(super) struct PendingReplies {
    /// `None` once the connection has ended.
    queue: Mutex<Option<VecDeque<PendingReply>>>,
    ended: watch::Sender<Option<String>>,
}

/// A reply, or the confirmations that replace it.
#[derive(Debug)]
pub(super) enum AwaitedReply {
    Pong,
    Role,
    Confirmations { kind: PushKind, names: HashSet<Vec<u8>> },
}

type ReplyResult = Result<(), CallError>;

#[derive(Debug)]
struct PendingReply {
    awaited: AwaitedReply,
    answer: oneshot::Sender<ReplyResult>,
}

impl PendingReplies {
    pub(super) fn new(ended: watch::Sender<Option<String>>) -> Self {
        Self { queue: Mutex::new(Some(VecDeque::new())), ended }
    }

    /// Queues the awaited replies and calls `send`, with no other request in between. After the end of the connection, the
    /// results fail at once.
    pub(super) fn push(&self, awaited: Vec<AwaitedReply>, send: impl FnOnce()) -> Vec<oneshot::Receiver<ReplyResult>> {
        let mut queue = self.queue.lock();
        let mut answers = Vec::with_capacity(awaited.len());
        for awaited in awaited {
            let (answer, receiver) = oneshot::channel();
            answers.push(receiver);
            if let Some(queue) = queue.as_mut() {
                queue.push_back(PendingReply { awaited, answer });
            }
        }
        send();
        answers
    }

    /// Handles a reply that is not a push: to a ping, or an error in place of all confirmations of a command.
    pub(super) fn on_reply(&self, reply: Value) {
        let entry = self.queue.lock().as_mut().and_then(VecDeque::pop_front);
        let Some(PendingReply { awaited, answer }) = entry else { return };
        let _ = answer.send(match (ReplyOutcome::from(reply).into_result(), awaited) {
            (Ok(reply), AwaitedReply::Role) if role(&reply).as_deref() == Some("slave") => {
                Err(CallError::unavailable("the server was demoted to a replica"))
            }
            // A user or proxy may not be allowed to read the role. An answer is enough.
            (Ok(_), AwaitedReply::Pong | AwaitedReply::Role) | (Err(CallError::Rejected(_)), AwaitedReply::Role) => {
                Ok(())
            }
            (Ok(reply), AwaitedReply::Confirmations { .. }) => {
                Err(CallError::Protocol(format!("unexpected reply to a subscription: {reply:?}")))
            }
            (Err(error), _) => Err(error),
        });
    }

    pub(super) fn on_confirmation(&self, kind: &PushKind, name: &[u8]) {
        let mut queue = self.queue.lock();
        let Some(queue) = queue.as_mut() else { return };
        match queue.front_mut() {
            Some(PendingReply { awaited: AwaitedReply::Confirmations { kind: awaited, names }, .. })
                if awaited == kind =>
            {
                names.remove(name);
                if !names.is_empty() {
                    return;
                }
            }
            _ => return,
        }
        if let Some(entry) = queue.pop_front() {
            let _ = entry.answer.send(Ok(()));
        }
    }

    /// Returns whether pushes of a kind confirm something.
    pub(super) fn is_confirmation(&self, kind: &PushKind) -> bool {
        use PushKind::{PSubscribe, SSubscribe, SUnsubscribe, Subscribe, Unsubscribe};
        matches!(kind, PSubscribe | SSubscribe | SUnsubscribe | Subscribe | Unsubscribe)
    }

    /// Ends the connection. The first reason is kept.
    pub(super) fn end(&self, reason: &str) {
        self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            if first {
                *ended = Some(reason.to_owned());
            }
            first
        });
        // After the reason is set, so that a caller woken by this can read it.
        self.queue.lock().take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending() -> PendingReplies {
        PendingReplies::new(watch::channel(None).0)
    }

    fn names(names: &[&[u8]]) -> HashSet<Vec<u8>> {
        names.iter().map(|name| name.to_vec()).collect()
    }

    fn error(text: &str) -> Value {
        redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).expect("an error is a reply")
    }

    #[test]
    fn all_names_must_be_confirmed() {
        let pending = pending();
        let awaited = AwaitedReply::Confirmations { kind: PushKind::Subscribe, names: names(&[b"a", b"b\xff"]) };
        let mut answers = pending.push(vec![awaited, AwaitedReply::Pong], || ());
        let mut pong = answers.pop().expect("two");
        let mut subscribed = answers.pop().expect("one more");

        pending.on_confirmation(&PushKind::Subscribe, b"a");
        pending.on_confirmation(&PushKind::Subscribe, b"b");
        assert!(subscribed.try_recv().is_err());
        pending.on_confirmation(&PushKind::Subscribe, b"b\xff");
        assert_eq!(subscribed.try_recv(), Ok(Ok(())));
        assert!(pong.try_recv().is_err());
        pending.on_reply(Value::SimpleString("PONG".to_owned()));
        assert_eq!(pong.try_recv(), Ok(Ok(())));
    }

    /// A moved slot causes these. The redis crate's connection took them for the reply to the ping.
    #[test]
    fn unsolicited_confirmations_have_no_effect() {
        let pending = pending();
        let awaited = AwaitedReply::Confirmations { kind: PushKind::SSubscribe, names: names(&[b"a"]) };
        let mut answers = pending.push(vec![awaited, AwaitedReply::Pong], || ());
        for name in [&b"a"[..], b"b"] {
            pending.on_confirmation(&PushKind::SUnsubscribe, name);
        }
        assert!(answers.iter_mut().all(|answer| answer.try_recv().is_err()));
        pending.on_confirmation(&PushKind::SSubscribe, b"a");
        pending.on_confirmation(&PushKind::SUnsubscribe, b"b");
        assert_eq!(answers[0].try_recv(), Ok(Ok(())));
        assert!(answers[1].try_recv().is_err());
    }

    #[test]
    fn an_error_replaces_all_confirmations() {
        let pending = pending();
        let awaited = AwaitedReply::Confirmations { kind: PushKind::Subscribe, names: names(&[b"a", b"b"]) };
        let mut answers = pending.push(vec![awaited, AwaitedReply::Pong], || ());
        pending.on_reply(error("NOPERM no such channels for you"));
        pending.on_reply(Value::SimpleString("PONG".to_owned()));
        assert_eq!(answers[0].try_recv(), Ok(Err(CallError::Rejected("NOPERM no such channels for you".to_owned()))));
        assert_eq!(answers[1].try_recv(), Ok(Ok(())));
    }

    #[test]
    fn the_end_fails_pending_and_later_requests() {
        let (sender, ended) = watch::channel(None);
        let pending = PendingReplies::new(sender);
        let mut before = pending.push(vec![AwaitedReply::Pong], || ());
        pending.end("first");
        pending.end("second");
        let mut after = pending.push(vec![AwaitedReply::Pong], || ());
        assert_eq!(before[0].try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(after[0].try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(ended.borrow().as_deref(), Some("first"));
    }
}
