//! The state that the broker, its pub/sub workers and its backfills share.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tidecast::{Channel, broker::Since};
use tokio::sync::watch;

use crate::{
    commands::Commands,
    config::RedisConfig,
    error::CallError,
    keys::Keys,
    pubsub::subscriptions::{PubSubName, Subscriptions},
    replication_ids::{ReplicationIds, SeenReplicationIds},
    scripts::{HistoryPage, ReadHistory},
    supervise::FailPoints,
    write_error::LastWriteError,
};

/// The most bytes of events that are read for one channel at once.
pub(crate) const PAGE_BYTES_MAX: usize = 256 * 1024;

/// The state shared by the parts of a broker.
#[derive(Debug)]
pub(crate) struct BrokerContext {
    pub(crate) config: RedisConfig,
    pub(crate) commands: Commands,
    pub(crate) keys: Keys,
    pub(crate) subscriptions: Subscriptions,
    /// Whether all pub/sub connections are up. A change wakes what waits for Redis.
    pub(crate) connected: watch::Sender<bool>,
    pub(crate) write_error: LastWriteError,
    pub(crate) fail_points: FailPoints,
    replication_ids: ReplicationIds,
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
            fail_points: FailPoints::default(),
            replication_ids: ReplicationIds::default(),
            closed: AtomicBool::new(false),
            config,
        }))
    }

    /// Returns the name of a channel in Redis' pub/sub.
    pub(crate) fn name(&self, channel: &Channel) -> PubSubName {
        if self.config.compat {
            channel.as_str().as_bytes().into()
        } else {
            self.keys.own_channel(channel).into_bytes().into()
        }
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        // Wakes what waits for Redis, which then finds the broker closed.
        self.connected.send_replace(false);
    }

    /// Waits until the broker is closed.
    pub(crate) async fn until_closed(&self) {
        let mut changes = self.connected.subscribe();
        // Never fails, because this owns the sender.
        while !self.is_closed() && changes.changed().await.is_ok() {}
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Reads a page of a channel's history.
    pub(crate) async fn read_history(
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
        let read = ReadHistory { keys: &keys, after, limit, bytes_max, idle_age_max: self.config.counter_age_max() };
        let reply = self.commands.call(read.call()).await?;
        let page = ReadHistory::parse(reply)?;
        if let Some(page) = &page {
            self.record_server(&page.server);
        }
        Ok(page)
    }

    pub(crate) fn seen_replication_ids(&self) -> SeenReplicationIds {
        self.replication_ids.snapshot()
    }

    /// Records which server replied. The nodes of a Cluster are told apart by their addresses.
    pub(crate) fn record_server(&self, replication_id: &str) {
        if !self.config.is_cluster() {
            self.replication_ids.record(replication_id);
        }
    }
}
