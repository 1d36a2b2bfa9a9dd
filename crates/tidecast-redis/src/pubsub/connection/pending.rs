//! Who waits for what on a listening connection, in the order in which it was asked.
//!
//! A confirmation counts only for the name and the kind that were asked for, so one that the server sends unasked
//! changes nothing here. It reads no socket and knows no time.

use std::collections::{HashSet, VecDeque};

use parking_lot::Mutex;
use redis::{PushKind, Value};
use tokio::sync::{oneshot, watch};

use crate::{
    error::Failure,
    reply::{Verdict, text},
};

/// See the module.
#[derive(Debug)]
pub(super) struct Waiting {
    /// `None` once the connection has ended.
    queue: Mutex<Option<VecDeque<Entry>>>,
    ended: watch::Sender<Option<String>>,
}

/// What ends a wait.
#[derive(Debug)]
pub(super) enum Awaited {
    Pong,
    Role,
    Confirmations { kind: PushKind, names: HashSet<Vec<u8>> },
}

type Answer = Result<(), Failure>;

#[derive(Debug)]
struct Entry {
    awaited: Awaited,
    answer: oneshot::Sender<Answer>,
}

impl Waiting {
    pub(super) fn new(ended: watch::Sender<Option<String>>) -> Self {
        Self { queue: Mutex::new(Some(VecDeque::new())), ended }
    }

    /// Takes places in the queue and sends, with no other's in between. After the end an answer is an error at once.
    pub(super) fn push(&self, awaited: Vec<Awaited>, send: impl FnOnce()) -> Vec<oneshot::Receiver<Answer>> {
        let mut queue = self.queue.lock();
        let mut answers = Vec::with_capacity(awaited.len());
        for awaited in awaited {
            let (answer, receiver) = oneshot::channel();
            answers.push(receiver);
            if let Some(queue) = queue.as_mut() {
                queue.push_back(Entry { awaited, answer });
            }
        }
        send();
        answers
    }

    /// A reply that is no push: to a ping, or an error in place of all confirmations of a command.
    pub(super) fn reply_came(&self, reply: Value) {
        let entry = self.queue.lock().as_mut().and_then(VecDeque::pop_front);
        let Some(Entry { awaited, answer }) = entry else { return };
        let _ = answer.send(match (Verdict::from(reply), awaited) {
            (Verdict::Done(Value::Array(role)), Awaited::Role)
                if role.first().and_then(text).as_deref() == Some("slave") =>
            {
                Err(Failure::not_done("the server is a replica now"))
            }
            // A user or a proxy may not be let ask: it answers, and that is all there is to know.
            (Verdict::Done(_), Awaited::Pong | Awaited::Role) | (Verdict::Refused(_), Awaited::Role) => Ok(()),
            (Verdict::Done(reply), Awaited::Confirmations { .. }) => {
                Err(Failure::Broken(format!("a subscription was answered {reply:?}")))
            }
            (Verdict::Refused(words), _) => Err(Failure::Refused(words)),
            (Verdict::Later(words) | Verdict::Demoted(words), _) => Err(Failure::not_done(words)),
            (Verdict::Moved { slot, node }, _) => Err(Failure::not_done(format!("slot {slot} has moved to {node}"))),
            (Verdict::Ask { node }, _) => Err(Failure::not_done(format!("a slot moves to {node}"))),
            (Verdict::Broken(words), _) => Err(Failure::Broken(words)),
            (Verdict::UnknownScript, _) => Err(Failure::Broken("NOSCRIPT without a script".to_owned())),
        });
    }

    pub(super) fn confirmation_came(&self, kind: &PushKind, name: &[u8]) {
        let mut queue = self.queue.lock();
        let Some(queue) = queue.as_mut() else { return };
        match queue.front_mut() {
            Some(Entry { awaited: Awaited::Confirmations { kind: awaited, names }, .. }) if awaited == kind => {
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

    /// Whether someone may wait for pushes of this kind.
    pub(super) fn is_confirmation(&self, kind: &PushKind) -> bool {
        use PushKind::{PSubscribe, SSubscribe, SUnsubscribe, Subscribe, Unsubscribe};
        matches!(kind, PSubscribe | SSubscribe | SUnsubscribe | Subscribe | Unsubscribe)
    }

    /// Nothing more comes; the first reason stays.
    pub(super) fn end(&self, reason: &str) {
        self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            if first {
                *ended = Some(reason.to_owned());
            }
            first
        });
        // After the reason, so that who is woken by it can tell.
        self.queue.lock().take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting() -> Waiting {
        Waiting::new(watch::channel(None).0)
    }

    fn names(names: &[&[u8]]) -> HashSet<Vec<u8>> {
        names.iter().map(|name| name.to_vec()).collect()
    }

    fn error(text: &str) -> Value {
        redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).expect("an error is a reply")
    }

    #[test]
    fn all_names_must_be_confirmed() {
        let waiting = waiting();
        let awaited = Awaited::Confirmations { kind: PushKind::Subscribe, names: names(&[b"a", b"b\xff"]) };
        let mut answers = waiting.push(vec![awaited, Awaited::Pong], || ());
        let mut pong = answers.pop().expect("two");
        let mut subscribed = answers.pop().expect("one more");

        waiting.confirmation_came(&PushKind::Subscribe, b"a");
        waiting.confirmation_came(&PushKind::Subscribe, b"b");
        assert!(subscribed.try_recv().is_err());
        waiting.confirmation_came(&PushKind::Subscribe, b"b\xff");
        assert_eq!(subscribed.try_recv(), Ok(Ok(())));
        assert!(pong.try_recv().is_err());
        waiting.reply_came(Value::SimpleString("PONG".to_owned()));
        assert_eq!(pong.try_recv(), Ok(Ok(())));
    }

    /// A slot that has moved brings these; the library's connection took them for the answer to the ping.
    #[test]
    fn what_comes_unasked_answers_nobody() {
        let waiting = waiting();
        let awaited = Awaited::Confirmations { kind: PushKind::SSubscribe, names: names(&[b"a"]) };
        let mut answers = waiting.push(vec![awaited, Awaited::Pong], || ());
        for name in [&b"a"[..], b"b"] {
            waiting.confirmation_came(&PushKind::SUnsubscribe, name);
        }
        assert!(answers.iter_mut().all(|answer| answer.try_recv().is_err()));
        waiting.confirmation_came(&PushKind::SSubscribe, b"a");
        waiting.confirmation_came(&PushKind::SUnsubscribe, b"b");
        assert_eq!(answers[0].try_recv(), Ok(Ok(())));
        assert!(answers[1].try_recv().is_err());
    }

    #[test]
    fn an_error_is_the_whole_answer() {
        let waiting = waiting();
        let awaited = Awaited::Confirmations { kind: PushKind::Subscribe, names: names(&[b"a", b"b"]) };
        let mut answers = waiting.push(vec![awaited, Awaited::Pong], || ());
        waiting.reply_came(error("NOPERM no such channels for you"));
        waiting.reply_came(Value::SimpleString("PONG".to_owned()));
        assert_eq!(answers[0].try_recv(), Ok(Err(Failure::Refused("NOPERM no such channels for you".to_owned()))));
        assert_eq!(answers[1].try_recv(), Ok(Ok(())));
    }

    #[test]
    fn the_end_is_told_to_all_and_to_who_comes_later() {
        let (tell, ended) = watch::channel(None);
        let waiting = Waiting::new(tell);
        let mut before = waiting.push(vec![Awaited::Pong], || ());
        waiting.end("first");
        waiting.end("second");
        let mut after = waiting.push(vec![Awaited::Pong], || ());
        assert_eq!(before[0].try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(after[0].try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(ended.borrow().as_deref(), Some("first"));
    }
}
