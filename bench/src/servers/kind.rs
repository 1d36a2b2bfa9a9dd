//! The servers by name, and what they have in common.

use super::{centrifugo, durable_streams, flask, mercure, nchan};

/// The servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Tidecast, built for release.
    Tidecast,
    /// The same with room for slow subscribers only: with the peers that retain nothing.
    TidecastLive,
    /// The minimal server `bin/bare`, with one send for each event and subscriber.
    BareEach,
    /// The same server, which sends a backlog at once.
    BareCoalescing,
    /// axum and a broadcast channel, as a simple hub is usually written: `bin/by_hand.rs`.
    Axum,
    /// nginx with nchan and one worker.
    Nchan1,
    /// nginx with nchan and two workers.
    Nchan2,
    Centrifugo,
    /// Centrifugo without history.
    CentrifugoLive,
    Mercure,
    /// Mercure without history.
    MercureLive,
    DurableStreams,
    /// A Flask program on Flask-SSE.
    FlaskSse,
    /// A Flask program on Tidecast's Python package, with its events on Redis.
    FlaskTidecast,
    /// A Flask program with a hub, which serves the streams and keeps the events in memory.
    FlaskHub,
    /// A Flask program with a hub on Redis.
    FlaskHubRedis,
}

impl Kind {
    pub(crate) const ALL: [Self; 16] = [
        Self::Tidecast,
        Self::TidecastLive,
        Self::BareEach,
        Self::BareCoalescing,
        Self::Axum,
        Self::Nchan1,
        Self::Nchan2,
        Self::Centrifugo,
        Self::CentrifugoLive,
        Self::Mercure,
        Self::MercureLive,
        Self::DurableStreams,
        Self::FlaskSse,
        Self::FlaskTidecast,
        Self::FlaskHub,
        Self::FlaskHubRedis,
    ];

    /// Returns its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tidecast => "tidecast",
            Self::TidecastLive => "tidecast-live",
            Self::BareEach => "bare-each",
            Self::BareCoalescing => "bare-coalescing",
            Self::Axum => "axum-by-hand",
            Self::Nchan1 => "nchan-1",
            Self::Nchan2 => "nchan-2",
            Self::Centrifugo => "centrifugo",
            Self::CentrifugoLive => "centrifugo-live",
            Self::Mercure => "mercure",
            Self::MercureLive => "mercure-live",
            Self::DurableStreams => "durable-streams",
            Self::FlaskSse => "flask-sse",
            Self::FlaskTidecast => "flask-tidecast",
            Self::FlaskHub => "flask-hub",
            Self::FlaskHubRedis => "flask-hub-redis",
        }
    }

    /// Returns whether it is Tidecast in one of its configurations.
    pub(crate) fn is_own(self) -> bool {
        matches!(self, Self::Tidecast | Self::TidecastLive) || self.is_flask() && !self.is_peer()
    }

    /// Returns whether it is a Flask program.
    pub(crate) fn is_flask(self) -> bool {
        matches!(self, Self::FlaskSse | Self::FlaskTidecast | Self::FlaskHub | Self::FlaskHubRedis)
    }

    pub(crate) fn is_bare(self) -> bool {
        matches!(self, Self::BareEach | Self::BareCoalescing)
    }

    /// Returns whether it retains no history, though it could.
    pub(crate) fn is_live(self) -> bool {
        matches!(self, Self::TidecastLive | Self::CentrifugoLive | Self::MercureLive)
    }

    /// Returns whether an event stream can be resumed. Centrifugo's cannot, although it retains events.
    pub(crate) fn resumes(self) -> bool {
        matches!(self, Self::Tidecast | Self::Mercure | Self::DurableStreams) || self.is_nchan()
    }

    pub(crate) fn is_nchan(self) -> bool {
        matches!(self, Self::Nchan1 | Self::Nchan2)
    }

    /// Returns whether it is a server that one might use in place of Tidecast.
    pub(crate) fn is_peer(self) -> bool {
        self == Self::Axum || self.is_foreign()
    }

    /// Returns whether its program is a third party's.
    pub(crate) fn is_foreign(self) -> bool {
        use Kind::{Centrifugo, CentrifugoLive, DurableStreams, FlaskSse, Mercure, MercureLive};
        self.is_nchan()
            || matches!(self, Centrifugo | CentrifugoLive | Mercure | MercureLive | DurableStreams | FlaskSse)
    }

    /// Returns how it is started or configured, as text for people.
    pub(crate) fn configuration(self) -> &'static str {
        match self {
            Self::Tidecast => "tidecast serve",
            Self::TidecastLive => "tidecast serve --log-events 256, as many as a channel of axum-by-hand has",
            Self::BareEach => "bare each",
            Self::BareCoalescing => "bare coalescing",
            Self::Axum => "by_hand",
            Self::Nchan1 | Self::Nchan2 => nchan::CONFIGURATION,
            Self::Centrifugo => centrifugo::WITH_HISTORY,
            Self::CentrifugoLive => centrifugo::LIVE,
            Self::Mercure => mercure::WITH_HISTORY,
            Self::MercureLive => mercure::LIVE,
            Self::DurableStreams => durable_streams::ARGUMENTS,
            Self::FlaskSse | Self::FlaskTidecast | Self::FlaskHub | Self::FlaskHubRedis => flask::PROGRAM,
        }
    }
}
