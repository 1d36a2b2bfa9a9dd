//! Refuses requests for their key, ticket, host or origin: the answer, a count by cause, a line in the log, and slower
//! answers to clients that guess keys.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use tidecast_axum::Problem;

use super::guess_counter::GuessCounter;
use crate::{
    limits::{DELAYED_REFUSALS_MAX, GUESS_WINDOW, REFUSAL_DELAY},
    observe::{log_limit::LogLimit, metrics::Counters},
};

/// A request that is refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// `None` if the request itself is wrong, whoever asks.
    cause: Option<Cause>,
    problem: Problem,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    KeyMissing,
    KeyWrong,
    /// A token was sent where the key is asked for.
    TokenForKey,
    /// The address has sent too many wrong keys.
    Guessing,
    TicketMissing,
    TicketWrong,
    TicketExpired,
    /// The ticket is for other channels.
    ChannelNotInTicket,
    /// The `Host` is not one of the hub's.
    Host,
    /// A page of another origin asks.
    Origin,
}

impl Cause {
    /// All of them, in the order of their declaration.
    pub(crate) const ALL: [Self; 10] = [
        Self::KeyMissing,
        Self::KeyWrong,
        Self::TokenForKey,
        Self::Guessing,
        Self::TicketMissing,
        Self::TicketWrong,
        Self::TicketExpired,
        Self::ChannelNotInTicket,
        Self::Host,
        Self::Origin,
    ];

    /// Returns the value of the label `cause`.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::KeyMissing => "key-missing",
            Self::KeyWrong => "key-wrong",
            Self::TokenForKey => "token-for-key",
            Self::Guessing => "guessing",
            Self::TicketMissing => "ticket-missing",
            Self::TicketWrong => "ticket-wrong",
            Self::TicketExpired => "ticket-expired",
            Self::ChannelNotInTicket => "channel-not-in-ticket",
            Self::Host => "host",
            Self::Origin => "origin",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::KeyMissing
            | Self::KeyWrong
            | Self::TokenForKey
            | Self::TicketMissing
            | Self::TicketWrong
            | Self::TicketExpired => StatusCode::UNAUTHORIZED,
            Self::ChannelNotInTicket | Self::Host | Self::Origin => StatusCode::FORBIDDEN,
            Self::Guessing => StatusCode::TOO_MANY_REQUESTS,
        }
    }
}

impl Refusal {
    /// Creates the refusal of a cause, with a sentence on what is wrong and what to do.
    pub(crate) fn new(cause: Cause, detail: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self { cause: Some(cause), problem: Problem::new(cause.status(), detail) }
    }

    /// Returns the refusal of a request that holds a wrong publish key, and is refused without one for this reason.
    pub(crate) fn with_wrong_key(self) -> Self {
        let why = self.problem.detail();
        Self::new(
            Cause::KeyWrong,
            format!("the bearer token is neither the publish key nor a ticket; without it: {why}"),
        )
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { cause: None, problem }
    }
}

/// Answers, counts and logs refusals.
pub(crate) struct Refusals {
    counters: Arc<Counters>,
    logged: [LogLimit; Cause::ALL.len()],
    guesses: GuessCounter,
    /// How many answers are being delayed, and for how long each is.
    delayed: AtomicUsize,
    delay: Duration,
}

impl Refusals {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        Self {
            counters,
            logged: Default::default(),
            guesses: GuessCounter::new(),
            delayed: AtomicUsize::new(0),
            delay: REFUSAL_DELAY,
        }
    }

    /// Returns the answer to a request that is refused, and counts and logs it. A wrong key after too many of the same
    /// address is answered late, by 429, and its connection closed; a right key never comes here.
    pub(crate) async fn answer(&self, peer: SocketAddr, refusal: Refusal) -> Response {
        let Refusal { cause, problem } = refusal;
        let Some(cause) = cause else { return problem.into_response() };
        let guesses = cause == Cause::KeyWrong && self.guesses.count(peer.ip(), Instant::now()).is_too_many();
        if !guesses {
            self.note(cause, peer, problem.detail());
            return respond(problem);
        }
        self.note(Cause::Guessing, peer, problem.detail());
        self.delay().await;
        let why = "too many wrong keys came from this address: look at the key before the next attempt; the right one is \
                   accepted at once";
        let problem = Problem::new(Cause::Guessing.status(), why).retry_after(GUESS_WINDOW);
        let mut response = respond(problem);
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }

    /// Counts a refusal. Each has a line at the level of debugging; at the usual one a cause has a line at once, and then
    /// one for all that came up within [`LOG_INTERVAL`](crate::limits::LOG_INTERVAL).
    fn note(&self, cause: Cause, peer: SocketAddr, why: &str) {
        self.counters.count_refusal(cause);
        let (client, status, label) = (peer.ip(), cause.status().as_u16(), cause.label());
        tracing::debug!(%client, status, cause = label, why, "request refused");
        let Some(count) = self.logged[cause as usize].due(Instant::now()) else { return };
        match cause {
            // Pages that stayed open, and programs that were not told: nothing that anybody tries.
            Cause::KeyMissing
            | Cause::TokenForKey
            | Cause::TicketMissing
            | Cause::TicketExpired
            | Cause::ChannelNotInTicket => {
                tracing::info!(%client, status, cause = label, count, "requests refused");
            }
            _ => tracing::warn!(%client, status, cause = label, count, "requests refused"),
        }
    }

    /// Waits, unless as many answers as may wait at once do so already.
    async fn delay(&self) {
        /// Counts the answer for as long as it waits, also if its client leaves.
        struct Waiting<'a>(&'a AtomicUsize);

        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }

        let before = self.delayed.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.delayed);
        if before < DELAYED_REFUSALS_MAX {
            tokio::time::sleep(self.delay).await;
        }
    }
}

impl fmt::Debug for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusals").finish_non_exhaustive()
    }
}

/// Returns a refusal's answer; that of a 401 names how a key or a ticket is sent.
fn respond(problem: Problem) -> Response {
    let unauthorized = problem.status() == StatusCode::UNAUTHORIZED;
    let mut response = problem.into_response();
    if unauthorized {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::GUESSES_MAX;

    const DELAY: Duration = Duration::from_millis(50);

    fn refusals() -> Refusals {
        Refusals { delay: DELAY, ..Refusals::new(Arc::default()) }
    }

    /// 172,000 wrong keys a second left no trace, and each was answered at once.
    #[tokio::test]
    async fn who_guesses_is_answered_late_and_counted() {
        let refusals = refusals();
        let peer: SocketAddr = "192.0.2.1:5000".parse().unwrap();
        let wrong = || refusals.answer(peer, Refusal::new(Cause::KeyWrong, "the publish key is wrong"));
        for _ in 0..GUESSES_MAX {
            assert_eq!(wrong().await.status(), 401);
        }
        let begin = Instant::now();
        let response = wrong().await;
        assert!(begin.elapsed() >= DELAY);
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["connection"], "close");
        assert_eq!(response.headers()["retry-after"], GUESS_WINDOW.as_secs().to_string().as_str());
        // What is no guess is answered as ever.
        let missing = refusals.answer(peer, Refusal::new(Cause::KeyMissing, "the publish key is missing")).await;
        assert_eq!(missing.status(), 401);
        let mut counts = refusals.counters.refusals();
        counts.retain(|(_, count)| *count > 0);
        assert_eq!(counts, [("key-missing", 1), ("key-wrong", u64::from(GUESSES_MAX)), ("guessing", 1)]);
    }

    #[tokio::test]
    async fn no_more_answers_wait_than_there_is_room_for() {
        let with =
            |waiting, delay| Refusals { delayed: AtomicUsize::new(waiting), delay, ..Refusals::new(Arc::default()) };
        let (begin, room_for_one) = (Instant::now(), with(DELAYED_REFUSALS_MAX - 1, DELAY));
        room_for_one.delay().await;
        assert!(begin.elapsed() >= DELAY);
        let full = with(DELAYED_REFUSALS_MAX, Duration::from_secs(3_600));
        tokio::time::timeout(Duration::from_secs(30), full.delay()).await.expect("it does not wait");
        for refusals in [room_for_one, full] {
            assert!(refusals.delayed.load(Ordering::Relaxed) >= DELAYED_REFUSALS_MAX - 1, "each gives its place back");
        }
    }
}
