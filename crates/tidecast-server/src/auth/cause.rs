//! The causes for which requests are refused.

use http::StatusCode;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusalCause {
    KeyMissing,
    KeyWrong,
    /// The route needs the publish key, and the request has a token.
    TokenForKey,
    /// The client's address has sent too many wrong keys.
    Guessing,
    TicketMissing,
    TicketWrong,
    TicketExpired,
    ChannelNotInTicket,
    /// The `Host` is not one that the hub answers to.
    Host,
    /// A page of another origin sent the request.
    Origin,
}

impl RefusalCause {
    /// All causes, in the order of their declaration.
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

    /// Returns the value of the label `cause` in metrics and log lines.
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

    /// Returns the status of the response.
    pub(super) fn status(self) -> StatusCode {
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
