//! Responds to requests that are refused for their key, ticket, host or origin: with a problem document, a count by cause,
//! a log line, and a delay for clients that guess keys.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use tidecast_axum::Problem;
use tidecast_serve::{ConnectionOrigin, internals::LogLimit};

use super::{
    cause::RefusalCause,
    guess_counter::{GuessCounter, Guesses},
};
use crate::{
    limits::{DELAYED_REFUSALS_MAX, GUESS_WINDOW, REFUSAL_DELAY},
    observe::metrics::RequestCounters,
};

/// A request that is refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// `None` if the request itself is invalid, whatever its rights are.
    cause: Option<RefusalCause>,
    problem: Problem,
}

impl Refusal {
    /// Creates a refusal with a sentence that names the cause and the remedy.
    pub(crate) fn new(cause: RefusalCause, detail: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self { cause: Some(cause), problem: Problem::new(cause.status(), detail) }
    }

    /// Adds to a refusal that the request's bearer token is a wrong publish key.
    pub(crate) fn with_wrong_key(self) -> Self {
        let why = self.problem.detail();
        Self::new(
            RefusalCause::KeyWrong,
            format!("the bearer token is neither the publish key nor a ticket; without it: {why}"),
        )
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { cause: None, problem }
    }
}

/// Responds to refused requests, and counts and logs them.
pub(crate) struct RefusalResponder {
    counters: Arc<RequestCounters>,
    logged: [LogLimit; RefusalCause::ALL.len()],
    guesses: GuessCounter,
    /// The number of responses that are being delayed.
    delayed: AtomicUsize,
    /// How long a response is delayed.
    delay: Duration,
}

impl RefusalResponder {
    pub(crate) fn new(counters: Arc<RequestCounters>) -> Self {
        Self {
            counters,
            logged: Default::default(),
            guesses: GuessCounter::new(),
            delayed: AtomicUsize::new(0),
            delay: REFUSAL_DELAY,
        }
    }

    /// Returns the response to a refused request, and counts and logs the refusal. If an address has sent too many wrong
    /// keys, the response to the next one is delayed, has status 429, and closes the connection. A request with the right
    /// key is not delayed.
    pub(crate) async fn respond(&self, peer: &ConnectionOrigin, refusal: Refusal) -> Response {
        let Refusal { cause, problem } = refusal;
        let Some(cause) = cause else { return problem.into_response() };
        let is_guessing =
            cause == RefusalCause::KeyWrong && self.guesses.count(peer.ip(), Instant::now()) == Guesses::TooMany;
        if !is_guessing {
            self.record(cause, peer, problem.detail());
            return into_response(problem);
        }
        self.record(RefusalCause::Guessing, peer, problem.detail());
        self.delay().await;
        let why = "too many wrong keys came from this address: check the key before the next attempt; the right one is \
                   accepted at once";
        let problem = Problem::new(RefusalCause::Guessing.status(), why).retry_after(GUESS_WINDOW);
        let mut response = into_response(problem);
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }

    /// Counts and logs a refusal. At level `debug` each has a line. At `info` or `warn` the first of a cause has a line, and
    /// then at most one each [`LOG_INTERVAL`](tidecast_serve::limits::LOG_INTERVAL), with a count and the reason of the last.
    fn record(&self, cause: RefusalCause, peer: &ConnectionOrigin, why: &str) {
        self.counters.count_refusal(cause);
        let (client, status, label) = (peer.ip(), cause.status().as_u16(), cause.label());
        tracing::debug!(%client, status, cause = label, why, "request refused");
        let Some(count) = self.logged[cause as usize].due(Instant::now()) else { return };
        match cause {
            // Pages that stayed open and programs that were not configured cause these, not attacks.
            RefusalCause::KeyMissing
            | RefusalCause::TokenForKey
            | RefusalCause::TicketMissing
            | RefusalCause::TicketExpired
            | RefusalCause::ChannelNotInTicket => {
                tracing::info!(%client, status, cause = label, count, why, "requests refused");
            }
            _ => tracing::warn!(%client, status, cause = label, count, why, "requests refused"),
        }
    }

    /// Delays the response, unless [`DELAYED_REFUSALS_MAX`] responses are being delayed.
    async fn delay(&self) {
        /// Counts a delayed response, also if its client disconnects meanwhile.
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

impl fmt::Debug for RefusalResponder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefusalResponder").finish_non_exhaustive()
    }
}

/// Returns the response of a refusal. That of a 401 names the scheme by which a key or a ticket is sent.
fn into_response(problem: Problem) -> Response {
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

    fn refusals() -> RefusalResponder {
        RefusalResponder { delay: DELAY, ..RefusalResponder::new(Arc::default()) }
    }

    /// 172,000 wrong keys a second left no trace, and each was answered at once.
    #[tokio::test]
    async fn a_client_that_guesses_is_delayed_and_counted() {
        let refusals = refusals();
        let address = "192.0.2.1:5000".parse().unwrap();
        let peer = &ConnectionOrigin::plain(address, address);
        let wrong = || refusals.respond(peer, Refusal::new(RefusalCause::KeyWrong, "the publish key is wrong"));
        for _ in 0..GUESSES_MAX {
            assert_eq!(wrong().await.status(), 401);
        }
        let begin = Instant::now();
        let response = wrong().await;
        assert!(begin.elapsed() >= DELAY);
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["connection"], "close");
        assert_eq!(response.headers()["retry-after"], GUESS_WINDOW.as_secs().to_string().as_str());
        // Other refusals are not delayed.
        let missing =
            refusals.respond(peer, Refusal::new(RefusalCause::KeyMissing, "the publish key is missing")).await;
        assert_eq!(missing.status(), 401);
        let mut counts = refusals.counters.refusals();
        counts.retain(|(_, count)| *count > 0);
        assert_eq!(counts, [("key-missing", 1), ("key-wrong", u64::from(GUESSES_MAX)), ("guessing", 1)]);
    }

    #[tokio::test]
    async fn the_number_of_delayed_responses_is_bounded() {
        let with = |waiting, delay| RefusalResponder {
            delayed: AtomicUsize::new(waiting),
            delay,
            ..RefusalResponder::new(Arc::default())
        };
        let (begin, room_for_one) = (Instant::now(), with(DELAYED_REFUSALS_MAX - 1, DELAY));
        room_for_one.delay().await;
        assert!(begin.elapsed() >= DELAY);
        let full = with(DELAYED_REFUSALS_MAX, Duration::from_secs(3_600));
        tokio::time::timeout(Duration::from_secs(30), full.delay())
            .await
            .expect("a response beyond the bound is not delayed");
        for refusals in [room_for_one, full] {
            assert!(
                refusals.delayed.load(Ordering::Relaxed) >= DELAYED_REFUSALS_MAX - 1,
                "each delay is counted until it ends"
            );
        }
    }
}
