//! Who may open a stream, and which pages may read it.
//!
//! Around the stream's route, so that a request that is refused takes no place. It decides when a stream is opened and never
//! again: a ticket's time says until when its bearer may come, not how long a stream lasts.
//!
//! The publish key opens every stream, a ticket its channels, and `anonymous_subscribe` names what is read without either.
//! No cookie opens a stream, only what the page itself has sent. So a page with a ticket may read the answer wherever the
//! page is from, and no origin need be known beforehand. If a proxy puts a ticket in for whoever asked, the page has sent
//! none, and the ticket says so by `cors`. Pages of other sites that have neither are refused before they take a place. A
//! ticket is a secret: nothing here logs one, or answers with it.

use std::{
    borrow::Cow,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use axum::{
    extract::{ConnectInfo, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use tidecast::Channel;
use tidecast_axum::query;

use super::ticket::{Ticket, TicketError, TicketKey};
use crate::{
    auth::{
        access::{Access, Permission, bearer},
        refusal::{Cause, Refusal},
    },
    config::{AccessConfig, Anonymous},
    http::parameters,
};

/// The parameters of a stream's address.
const PARAMETERS: [&str; 6] = ["channel", "last_event_id", "lastEventId", "last", "open", "ticket"];

/// See the module.
#[derive(Debug)]
pub(crate) struct TicketLayer {
    access: Arc<Access>,
    /// What is read without a ticket or the key.
    anonymous: Anonymous,
    /// What tickets are checked with, if there is such a key.
    tickets: Option<TicketKey>,
    /// Origins whose pages may read answers without a ticket too.
    origins: Vec<HeaderValue>,
    /// Whether it was said that tickets are not looked at.
    said: AtomicBool,
}

/// What was decided on a request.
#[derive(Debug)]
struct Decision {
    /// Whether it came with a ticket of the page's own that is in order, be it for other channels.
    has_ticket: bool,
    result: Result<(), Refusal>,
}

impl TicketLayer {
    pub(crate) fn new(config: &AccessConfig, access: Arc<Access>) -> Arc<Self> {
        Arc::new(Self {
            access,
            anonymous: config.anonymous.clone(),
            tickets: config.ticket_secret().map(|secret| TicketKey::derive(secret.as_bytes())),
            origins: config.cors_origins.clone(),
            said: AtomicBool::new(false),
        })
    }

    /// Returns whether tickets are looked at: not if every channel is read without one.
    pub(crate) fn asks(&self) -> bool {
        !matches!(self.anonymous, Anonymous::All)
    }

    fn decide(&self, uri: &Uri, headers: &HeaderMap, now: SystemTime) -> Decision {
        let mut has_ticket = false;
        let result = self.check(uri, headers, now, &mut has_ticket);
        Decision { has_ticket, result }
    }

    fn check(&self, uri: &Uri, headers: &HeaderMap, now: SystemTime, has_ticket: &mut bool) -> Result<(), Refusal> {
        self.access.check(Permission::Subscribe, headers)?;
        let query = uri.query().unwrap_or_default();
        let authorization = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).and_then(bearer);
        if authorization.is_some_and(|given| self.access.is_key(given)) {
            return Ok(parameters::refuse_unknown(Some(query), &PARAMETERS)?);
        }
        let guess = authorization.filter(|given| self.access.is_guess(given));
        let authorization = authorization.filter(|_| guess.is_none());
        let result = self.check_without_key(query, headers, authorization, now, has_ticket);
        // The right key would not have been refused, so each refusal tells that this one is wrong, whatever its reason is.
        if guess.is_some() { result.map_err(Refusal::with_wrong_key) } else { result }
    }

    fn check_without_key(
        &self,
        query: &str,
        headers: &HeaderMap,
        authorization: Option<&[u8]>,
        now: SystemTime,
        has_ticket: &mut bool,
    ) -> Result<(), Refusal> {
        if !self.asks() {
            self.say_once(query);
            parameters::refuse_unknown(Some(query), &PARAMETERS)?;
            return self.access.check_site(headers);
        }
        let ticket = self.ticket(query, authorization, now)?;
        *has_ticket = ticket.as_ref().is_ok_and(|ticket| ticket.is_from_page);
        parameters::refuse_unknown(Some(query), &PARAMETERS)?;
        for channel in query::channels(query)?.iter().filter(|channel| !self.anonymous.allows(channel)) {
            match &ticket {
                Ok(ticket) if ticket.opens(channel) => {}
                Ok(_) => return Err(not_in_ticket(channel)),
                Err(why) => return Err(why.refusal(channel, self)),
            }
        }
        if *has_ticket { Ok(()) } else { self.access.check_site(headers) }
    }

    /// Returns the ticket of a request, or why it is none: in its address, where a browser can put one, else in the header.
    /// What else stands in the header beside one in the address may be for a proxy.
    fn ticket(
        &self,
        query: &str,
        authorization: Option<&[u8]>,
        now: SystemTime,
    ) -> Result<Result<Ticket, NoTicket>, Refusal> {
        let mut given = query::values(query.as_bytes(), "ticket")?;
        let given: Cow<'_, [u8]> = match (given.pop(), authorization) {
            (Some(_), _) if !given.is_empty() => {
                return Err(tidecast_axum::Problem::bad_request(
                    "`ticket` is there more than once: one ticket names all channels in its `subscribe`",
                )
                .into());
            }
            (Some(ticket), _) => ticket,
            (None, Some(ticket)) => ticket.into(),
            (None, None) => return Ok(Err(NoTicket::Missing)),
        };
        let Some(tickets) = &self.tickets else { return Ok(Err(NoTicket::Missing)) };
        Ok(tickets.open(&given, now).map_err(NoTicket::Bad))
    }

    /// Warns of the first ticket that comes to a hub that looks at none: the application that signs them counts on it.
    fn say_once(&self, query: &str) {
        let has_ticket = || query::values(query.as_bytes(), "ticket").is_ok_and(|given| !given.is_empty());
        if !self.said.load(Ordering::Relaxed) && has_ticket() && !self.said.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a stream was asked for with a ticket, and this hub looks at none: without one anybody reads every \
                 channel; start it with --tickets"
            );
        }
    }

    /// Lets a page read an answer.
    fn open_to(&self, origin: Option<HeaderValue>, has_ticket: bool, headers: &mut HeaderMap) {
        headers.append(header::VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = origin.filter(|origin| has_ticket || self.origins.contains(origin)) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}

/// Why a request has no ticket.
#[derive(Debug)]
enum NoTicket {
    Missing,
    Bad(TicketError),
}

impl NoTicket {
    fn refusal(&self, channel: &Channel, gate: &TicketLayer) -> Refusal {
        match self {
            Self::Bad(why @ TicketError::Expired) => Refusal::new(Cause::TicketExpired, why.to_string()),
            Self::Bad(why) => Refusal::new(Cause::TicketWrong, why.to_string()),
            Self::Missing if gate.tickets.is_none() => Refusal::new(
                Cause::TicketMissing,
                format!(
                    "`{channel}` may not be read here: `anonymous_subscribe` does not name it, and the hub has no key to \
                     check a ticket with; start it with --ticket-key or --publish-key, or let the setting name the channel"
                ),
            ),
            Self::Missing => Refusal::new(
                Cause::TicketMissing,
                format!(
                    "this hub gives a stream of `{channel}` for a ticket only: send it as `?ticket=TICKET` or as \
                     `Authorization: Bearer TICKET`; the application signs it (`tidecast ticket` does, with the hub's \
                     key), or the publish key is sent as `Authorization: Bearer KEY`"
                ),
            ),
        }
    }
}

fn not_in_ticket(channel: &Channel) -> Refusal {
    Refusal::new(
        Cause::ChannelNotInTicket,
        format!("the ticket is not for `{channel}`: every channel that is asked for must be in its `subscribe`"),
    )
}

/// The layer that asks [`TicketLayer`].
pub(crate) async fn ask(
    State(gate): State<Arc<TicketLayer>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let opens = gate.asks();
    let origin = request.headers().get(header::ORIGIN).cloned().filter(|_| opens);
    let decision = match *request.method() {
        Method::OPTIONS if opens => return preflight(request.headers(), origin),
        Method::GET | Method::HEAD => gate.decide(request.uri(), request.headers(), SystemTime::now()),
        // Nothing is given for it.
        _ => Decision { has_ticket: false, result: gate.access.check(Permission::Subscribe, request.headers()) },
    };
    let mut response = match decision.result {
        Ok(()) => next.run(request).await,
        Err(refusal) => gate.access.refusals.answer(peer, refusal).await,
    };
    if opens {
        gate.open_to(origin, decision.has_ticket, response.headers_mut());
    }
    response
}

/// Returns the answer to a browser that asks what a page may ask. It comes without the page's headers, so perhaps without
/// the ticket; the request that follows it is looked at. Whatever headers the page asks for are allowed.
fn preflight(asked: &HeaderMap, origin: Option<HeaderValue>) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    let lines = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET"),
        // In seconds: two hours, the most that Chromium takes.
        (header::ACCESS_CONTROL_MAX_AGE, "7200"),
        (header::VARY, "origin, access-control-request-headers"),
    ];
    headers.extend(lines.map(|(name, value)| (name, HeaderValue::from_static(value))));
    let wanted = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    headers.extend(wanted.map(|names| (header::ACCESS_CONTROL_ALLOW_HEADERS, names)));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    response
}
