//! What a reactor is told by other threads, and how it is woken.
//!
//! The thread says that it sleeps under the same lock under which others leave word, after a last look: whoever comes
//! later sees that it sleeps and wakes it, so no word is lost, and nobody makes a system call for a thread that is awake.

use std::{io, os::fd::OwnedFd};

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, eventfd};

use super::{Member, slab::Token};
use crate::detach::Detached;

/// What the thread takes out at once.
#[derive(Debug, Default)]
pub(super) struct Mail {
    /// Channels with news, each once: as many at most as there are.
    pub(super) dirty: Vec<u32>,
    /// Connections whose subscription has news, each once.
    pub(super) woken: Vec<Token>,
    /// Connections that come: as many at most as there may be.
    pub(super) adopted: Vec<(Detached, Member)>,
}

#[derive(Debug)]
pub(super) struct Inbox {
    inner: Mutex<Inner>,
    wake: OwnedFd,
}

#[derive(Debug, Default)]
struct Inner {
    mail: Mail,
    /// By key, whether it is among the dirty.
    is_dirty: Vec<bool>,
    asleep: bool,
    ending: bool,
    cut: bool,
}

/// What was said to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Orders {
    /// Every stream is to end.
    pub(super) ending: bool,
    /// The thread is to end, and whatever it has is cut.
    pub(super) cut: bool,
}

impl Inbox {
    pub(super) fn new() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { inner: Mutex::default(), wake })
    }

    /// What becomes readable when the thread is to wake up.
    pub(super) fn waker(&self) -> &OwnedFd {
        &self.wake
    }

    pub(super) fn mark_dirty(&self, key: u32) {
        self.leave_word(|inner| {
            let key_index = key as usize;
            if inner.is_dirty.len() <= key_index {
                inner.is_dirty.resize(key_index + 1, false);
            }
            if !std::mem::replace(&mut inner.is_dirty[key_index], true) {
                inner.mail.dirty.push(key);
            }
        });
    }

    /// Whoever calls this has seen to it that a token is there once.
    pub(super) fn mark_woken(&self, token: Token) {
        self.leave_word(|inner| inner.mail.woken.push(token));
    }

    pub(super) fn adopt(&self, detached: Detached, member: Member) {
        self.leave_word(|inner| inner.mail.adopted.push((detached, member)));
    }

    pub(super) fn end(&self) {
        self.leave_word(|inner| inner.ending = true);
    }

    pub(super) fn cut(&self) {
        self.leave_word(|inner| inner.cut = true);
    }

    /// Wakes the thread if it sleeps.
    pub(super) fn nudge(&self) {
        self.leave_word(|_| {});
    }

    /// Takes out what there is. `mail` is empty, and its room is used from now on.
    pub(super) fn take(&self, mail: &mut Mail) -> Orders {
        let mut inner = self.inner.lock();
        std::mem::swap(&mut inner.mail, mail);
        for key in &mail.dirty {
            inner.is_dirty[*key as usize] = false;
        }
        Orders { ending: inner.ending, cut: inner.cut }
    }

    /// Whether the thread may sleep, which others see from now on: with nothing left there that it has not seen.
    pub(super) fn may_sleep(&self, seen: Orders) -> bool {
        let mut inner = self.inner.lock();
        let mail = &inner.mail;
        let empty = mail.dirty.is_empty() && mail.woken.is_empty() && mail.adopted.is_empty();
        inner.asleep = empty && seen == Orders { ending: inner.ending, cut: inner.cut };
        inner.asleep
    }

    /// Says that the thread is awake.
    pub(super) fn woke(&self) {
        self.inner.lock().asleep = false;
    }

    fn leave_word(&self, word: impl FnOnce(&mut Inner)) {
        let mut inner = self.inner.lock();
        word(&mut inner);
        // Whoever is first wakes it; it is as good as awake.
        let wake = std::mem::replace(&mut inner.asleep, false);
        drop(inner);
        if wake {
            // It fails only where it has been written to so often that the thread is awake by all means.
            let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Orders = Orders { ending: false, cut: false };

    /// How often it was woken.
    fn woken(inbox: &Inbox) -> u64 {
        let mut times = [0; 8];
        match rustix::io::read(inbox.waker(), &mut times) {
            Ok(_) => u64::from_ne_bytes(times),
            Err(_) => 0,
        }
    }

    #[test]
    fn each_channel_is_told_once_and_only_a_sleeper_is_woken() {
        let inbox = Inbox::new().unwrap();
        let mut mail = Mail::default();
        for key in [3, 0, 3, 70, 0] {
            inbox.mark_dirty(key);
        }
        assert!(!inbox.may_sleep(NONE));
        assert_eq!(woken(&inbox), 0);
        assert_eq!(inbox.take(&mut mail), NONE);
        assert_eq!(std::mem::take(&mut mail).dirty, [3, 0, 70]);
        assert!(inbox.may_sleep(NONE));
        inbox.mark_dirty(3);
        inbox.mark_woken(Token::from_u64(9));
        assert_eq!(woken(&inbox), 1);
        inbox.take(&mut mail);
        assert_eq!((&mail.dirty[..], &mail.woken[..]), (&[3][..], &[Token::from_u64(9)][..]));
    }

    /// An order stays, so it is compared with what the thread has seen rather than taken out.
    #[test]
    fn an_order_that_was_not_seen_keeps_it_awake() {
        let inbox = Inbox::new().unwrap();
        inbox.end();
        assert!(!inbox.may_sleep(NONE));
        let seen = inbox.take(&mut Mail::default());
        assert_eq!(seen, Orders { ending: true, cut: false });
        assert!(inbox.may_sleep(seen));
        inbox.cut();
        assert_eq!(woken(&inbox), 1);
        assert!(!inbox.may_sleep(seen));
        inbox.woke();
        inbox.nudge();
        assert_eq!(woken(&inbox), 0);
    }
}
