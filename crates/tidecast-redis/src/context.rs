//! What the broker, its listener and its fills share: connections, names, settings, and the channels that are heard.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tidecast::{
    Channel, Epoch,
    broker::{Head, PastEvent, Since},
};
use tokio::sync::watch;

use crate::{
    RedisConfig,
    codec::decode_stored,
    commands::Commands,
    error::CallError,
    keys::Keys,
    pubsub::subscriptions::{Name, Subscriptions},
    replication_ids::{ReplicationIds, SeenReplicationIds},
    scripts::{HistoryPage, ReadHistory, StoredEvent},
    supervise::FailPoints,
    write_error::LastWriteError,
};

/// Most bytes of events that are read for one channel at once.
pub(crate) const PAGE_BYTES_MAX: usize = 256 * 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct BrokerContext {
    pub(crate) config: RedisConfig,
    pub(crate) commands: Commands,
    pub(crate) keys: Keys,
    pub(crate) subscriptions: Subscriptions,
    /// Whether every listening connection stands; changes wake whoever waits for Redis.
    pub(crate) connected: watch::Sender<bool>,
    pub(crate) write_error: LastWriteError,
    replication_ids: ReplicationIds,
    pub(crate) fail_points: FailPoints,
    closed: AtomicBool,
}

impl BrokerContext {
    pub(crate) fn new(config: RedisConfig) -> tidecast::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            commands: Commands::new(&config)?,
            keys: Keys::new(&config.prefix, config.db),
            subscriptions: Subscriptions::new(),
            connected: watch::Sender::new(false),
            write_error: LastWriteError::default(),
            replication_ids: ReplicationIds::default(),
            fail_points: FailPoints::default(),
            closed: AtomicBool::new(false),
            config,
        }))
    }

    /// What a channel is published under.
    pub(crate) fn name(&self, channel: &Channel) -> Name {
        if self.config.compat {
            channel.as_str().as_bytes().into()
        } else {
            self.keys.own_channel(channel).into_bytes().into()
        }
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        // Whoever waits for Redis looks again, and sees that it need not.
        self.connected.send_replace(false);
    }

    /// Resolves when the broker is closed.
    pub(crate) async fn until_closed(&self) {
        let mut changes = self.connected.subscribe();
        // Never an error, as the sender is here.
        while !self.is_closed() && changes.changed().await.is_ok() {}
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Reads a page of a channel's past: where the channel stands, and events.
    pub(crate) async fn page(
        &self,
        channel: &Channel,
        since: Since,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Option<HistoryPage>, CallError> {
        let keys = self.keys.channel(channel);
        let after = match since {
            Since::After(position) => Some(position.offset),
            Since::Newest => None,
        };
        let fill = ReadHistory { keys: &keys, after, limit, bytes_max, idle_age_max: self.config.counter_age_max() };
        let reply = self.commands.call(fill.call()).await?;
        let filled = ReadHistory::parse(reply).map_err(|malformed| CallError::Protocol(malformed.to_string()))?;
        filled.iter().for_each(|filled| self.record_server(&filled.server));
        Ok(filled)
    }

    /// Returns which servers this node has seen. A Cluster's nodes are told apart by their addresses.
    pub(crate) fn seen_replication_ids(&self) -> SeenReplicationIds {
        self.replication_ids.snapshot()
    }

    /// Takes note of the server that has just answered.
    pub(crate) fn record_server(&self, server: &str) {
        if !self.config.is_cluster() {
            self.replication_ids.record(server);
        }
    }
}

/// Where a channel stands, as the engine takes it.
pub(crate) fn head_of(filled: &HistoryPage) -> Head {
    // Without an origin `0.0` says nothing of when it was given out, so it is to be told.
    let origin = if filled.head.offset == 0 { None } else { filled.origins.first().copied() };
    Head::new(filled.head)
        .with_lineage(filled.lineage.ends())
        .with_origin(origin.unwrap_or(filled.head.epoch))
        .with_origins(filled.origins.clone())
}

/// The events of a page at their positions in the present epoch, in which all of the channel's offsets count on. One
/// that can't be read is left out: something else than a Tidecast has written there.
pub(crate) fn past_events(filled: &HistoryPage, limits: &tidecast::Limits) -> Vec<PastEvent> {
    let epoch: Epoch = filled.head.epoch;
    let event = |stored: &StoredEvent| {
        let event = decode_stored(&stored.payload, limits).ok()?;
        Some(PastEvent::new(tidecast::Position { epoch, offset: stored.offset }, event))
    };
    filled.events.iter().filter_map(event).collect()
}
