//! The decision on a request: the permission that it needs against the rights that its credentials give.
//!
//! The publish key gives every right, a ticket opens the streams of its channels, and `anonymous_subscribe` names the
//! channels that need neither. A hub without a key accepts publishes from programs on this machine ([`host`](super::host),
//! [`origin`](super::origin)).
//!
//! A stream's rights are checked when it is opened, and not again: the expiry of a ticket ends the right to open streams,
//! not the streams that are open. Cookies give no rights, so a page can use only credentials that it sends itself. A page
//! with a ticket may therefore read the response whatever its origin is. A ticket that a proxy adds to its clients'
//! requests is not the page's own, and says so by its claim `cors`. Tickets are secrets: no log line and no response has
//! one.

use std::{
    borrow::Cow,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use http::{HeaderMap, header};
use subtle::ConstantTimeEq;
use tidecast::Channel;
use tidecast_axum::{Problem, internals::query};

use super::{
    cause::RefusalCause,
    host::HostCheck,
    origin,
    refusal::{Refusal, RefusalResponder},
    ticket::{Ticket, TicketError},
};
use crate::{
    config::{AccessConfig, Anonymous, Secret},
    http::parameters,
    observe::metrics::RequestCounters,
};

/// The parameters of a stream's address.
const STREAM_PARAMETERS: [&str; 6] = ["channel", "last_event_id", "lastEventId", "last", "open", "ticket"];

/// A permission that only the publish key gives, if the hub has one. Streams have [a check of their own](Auth::check_stream).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permission {
    /// Read about channels and the hub: their list, past events, metrics.
    Inspect,
    /// Publish events, delete channels.
    Publish,
}

/// The decision on a request for a stream.
#[derive(Debug)]
pub(super) struct StreamDecision {
    /// The valid ticket of the request, also if it does not suffice. With the publish key no ticket is read.
    pub(super) ticket: Option<Ticket>,
    pub(super) outcome: Result<(), Refusal>,
}

impl StreamDecision {
    /// Returns whether the page itself sent the ticket, so that it may read the response whatever its origin is.
    pub(super) fn has_ticket_of_page(&self) -> bool {
        is_from_page(self.ticket.as_ref())
    }
}

/// Decides on requests, by the configuration that each has taken.
#[derive(Debug)]
pub(crate) struct Auth {
    host: HostCheck,
    /// Whether the warning about unused tickets was logged.
    unused_ticket_logged: AtomicBool,
    pub(crate) refusals: RefusalResponder,
}

impl Auth {
    /// Creates the decision point of a hub that listens on `address`.
    pub(crate) fn new(address: SocketAddr, counters: Arc<RequestCounters>) -> Self {
        Self {
            host: HostCheck::new(address),
            unused_ticket_logged: AtomicBool::new(false),
            refusals: RefusalResponder::new(counters),
        }
    }

    /// Decides whether a request may pass.
    ///
    /// # Errors
    ///
    /// The refusal to respond with.
    pub(crate) fn check(
        &self,
        config: &AccessConfig,
        permission: Permission,
        headers: &HeaderMap,
    ) -> Result<(), Refusal> {
        self.check_host(config, headers)?;
        check_key(config, permission, headers)
    }

    /// Refuses a request whose `Host` is not one of the hub's. Pages that every client may load need no more.
    pub(super) fn check_host(&self, config: &AccessConfig, headers: &HeaderMap) -> Result<(), Refusal> {
        self.host.check(config, headers)
    }

    /// Decides whether a request may open a stream of the channels in its query.
    pub(super) fn check_stream(&self, config: &AccessConfig, query: &str, headers: &HeaderMap) -> StreamDecision {
        let mut ticket = None;
        let outcome = self
            .check_host(config, headers)
            .and_then(|()| self.check_stream_token(config, query, headers, &mut ticket));
        StreamDecision { ticket, outcome }
    }

    fn check_stream_token(
        &self,
        config: &AccessConfig,
        query: &str,
        headers: &HeaderMap,
        ticket: &mut Option<Ticket>,
    ) -> Result<(), Refusal> {
        let token = bearer_token(headers);
        if token.is_some_and(|token| is_key(config, token)) {
            return Ok(parameters::refuse_unknown(Some(query), &STREAM_PARAMETERS)?);
        }
        let wrong_key = token.filter(|token| may_be_wrong_key(config, token));
        let token = token.filter(|_| wrong_key.is_none());
        let outcome = self.check_stream_without_key(config, query, headers, token, ticket);
        // The right key would not have been refused, so each refusal also means that this one is wrong.
        if wrong_key.is_some() { outcome.map_err(Refusal::with_wrong_key) } else { outcome }
    }

    fn check_stream_without_key(
        &self,
        config: &AccessConfig,
        query: &str,
        headers: &HeaderMap,
        token: Option<&[u8]>,
        ticket: &mut Option<Ticket>,
    ) -> Result<(), Refusal> {
        if matches!(config.anonymous, Anonymous::All) {
            self.warn_of_unused_ticket(query);
            parameters::refuse_unknown(Some(query), &STREAM_PARAMETERS)?;
            return origin::check_read(headers, &config.cors_origins);
        }
        let missing = match read_ticket(config, query, token)? {
            Ok(valid) => {
                *ticket = Some(valid);
                None
            }
            Err(missing) => Some(missing),
        };
        parameters::refuse_unknown(Some(query), &STREAM_PARAMETERS)?;
        for channel in query::channels(query)?.iter().filter(|channel| !config.anonymous.allows(channel)) {
            match &missing {
                None if ticket.as_ref().is_some_and(|ticket| ticket.opens(channel)) => {}
                None => return Err(not_in_ticket(channel)),
                Some(missing) => return Err(missing.refusal(config, channel)),
            }
        }
        if is_from_page(ticket.as_ref()) { Ok(()) } else { origin::check_read(headers, &config.cors_origins) }
    }

    /// Logs a warning about the first ticket that a hub without tickets receives: the application relies on it.
    fn warn_of_unused_ticket(&self, query: &str) {
        let has_ticket = || query::values(query.as_bytes(), "ticket").is_ok_and(|given| !given.is_empty());
        let logged = &self.unused_ticket_logged;
        if !logged.load(Ordering::Relaxed) && has_ticket() && !logged.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a stream was requested with a ticket, and this hub does not check tickets: every client can read every \
                 channel; start it with --tickets"
            );
        }
    }
}

fn is_from_page(ticket: Option<&Ticket>) -> bool {
    ticket.is_some_and(|ticket| ticket.is_from_page)
}

fn check_key(config: &AccessConfig, permission: Permission, headers: &HeaderMap) -> Result<(), Refusal> {
    if config.publish_key.is_none() {
        return match permission {
            Permission::Publish => origin::check_change(headers, &config.cors_origins),
            Permission::Inspect => origin::check_read(headers, &config.cors_origins),
        };
    }
    match bearer_token(headers) {
        Some(token) if is_key(config, token) => Ok(()),
        Some(token) if !may_be_wrong_key(config, token) => Err(Refusal::new(
            RefusalCause::TokenForKey,
            "this needs the publish key, and the request has a token instead: a ticket opens streams only",
        )),
        Some(_) => Err(Refusal::new(RefusalCause::KeyWrong, "the publish key is wrong")),
        None => Err(Refusal::new(
            RefusalCause::KeyMissing,
            "the publish key is missing: send it as `Authorization: Bearer KEY`",
        )),
    }
}

/// Returns whether a token is the publish key. Takes constant time, so that the delay does not reveal how much of a guess
/// was right.
fn is_key(config: &AccessConfig, token: &[u8]) -> bool {
    config.publish_key.as_ref().is_some_and(|key| token.ct_eq(key.as_bytes()).into())
}

/// Returns whether a token may be a wrong publish key: it is not the key, and it does not look like a ticket unless the key
/// does too.
fn may_be_wrong_key(config: &AccessConfig, token: &[u8]) -> bool {
    let looks_different = |key: &Secret| !looks_like_ticket(token) || looks_like_ticket(key.as_bytes());
    config.publish_key.as_ref().is_some_and(|key| !is_key(config, token) && looks_different(key))
}

/// Returns whether a text has the form of a JSON Web Token: three parts in base64url, the first of which begins with `{"`.
fn looks_like_ticket(text: &[u8]) -> bool {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let parts = || text.split(|byte| *byte == b'.');
    text.starts_with(b"eyJ")
        && parts().count() == 3
        && parts().all(|part| !part.is_empty() && part.iter().all(is_base64))
}

/// Returns the token of an `Authorization` header with the scheme `Bearer`.
fn bearer_token(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// Returns the ticket of a request, or the reason why there is no valid one. A ticket in the query, the only place where an
/// `EventSource` can put one, goes before the `Authorization` header, which may be meant for a proxy.
fn read_ticket(config: &AccessConfig, query: &str, token: Option<&[u8]>) -> Result<Result<Ticket, NoTicket>, Refusal> {
    let mut given = query::values(query.as_bytes(), "ticket")?;
    let given: Cow<'_, [u8]> = match (given.pop(), token) {
        (Some(_), _) if !given.is_empty() => {
            return Err(Problem::bad_request(
                "`ticket` is given more than once: one ticket names all channels in its `subscribe`",
            )
            .into());
        }
        (Some(ticket), _) => ticket,
        (None, Some(token)) => token.into(),
        (None, None) => return Ok(Err(NoTicket::Missing)),
    };
    let Some(key) = &config.ticket_verifier else { return Ok(Err(NoTicket::Missing)) };
    Ok(key.open(&given, SystemTime::now()).map_err(NoTicket::Invalid))
}

/// Why a request has no valid ticket.
#[derive(Debug)]
enum NoTicket {
    Missing,
    Invalid(TicketError),
}

impl NoTicket {
    fn refusal(&self, config: &AccessConfig, channel: &Channel) -> Refusal {
        match self {
            Self::Invalid(why @ TicketError::Expired) => Refusal::new(RefusalCause::TicketExpired, why.to_string()),
            Self::Invalid(why) => Refusal::new(RefusalCause::TicketWrong, why.to_string()),
            Self::Missing if config.ticket_verifier.is_none() => Refusal::new(
                RefusalCause::TicketMissing,
                format!(
                    "`{channel}` may not be read here: `anonymous_subscribe` does not name it, and the hub has no key to \
                     check a ticket with; start it with --ticket-key or --publish-key, or add the channel to the setting"
                ),
            ),
            Self::Missing => Refusal::new(
                RefusalCause::TicketMissing,
                format!(
                    "a stream of `{channel}` needs a ticket: send it as `?ticket=TICKET` or as `Authorization: Bearer \
                     TICKET`; the application signs it (`tidecast ticket` does, with the hub's key), or the publish key \
                     is sent as `Authorization: Bearer KEY`"
                ),
            ),
        }
    }
}

fn not_in_ticket(channel: &Channel) -> Refusal {
    Refusal::new(
        RefusalCause::ChannelNotInTicket,
        format!("the ticket is not for `{channel}`: its `subscribe` must name every requested channel"),
    )
}
