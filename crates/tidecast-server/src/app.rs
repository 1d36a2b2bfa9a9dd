//! What every request shares.

use std::{io::Write, net::SocketAddr, sync::Arc};

use anyhow::Context;
use tidecast::Hub;
use tidecast_redis::{RedisBroker, RedisConfig};

use crate::{
    access::Access,
    admission::Admission,
    config::{BrokerConfig, Config},
    metrics::Counters,
    reactor::Reactors,
};

/// The hub and all around it.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) hub: Hub,
    /// The hub's broker, where it is on Redis.
    pub(crate) redis: Option<Arc<RedisBroker>>,
    pub(crate) access: Arc<Access>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) reactors: Reactors,
    address: SocketAddr,
}

impl App {
    /// Builds everything, within a runtime. A Redis that is away is no error: the hub waits for it.
    pub(crate) fn new(config: Config, address: SocketAddr) -> anyhow::Result<Arc<Self>> {
        let counters = Arc::new(Counters::default());
        let redis = match &config.broker {
            BrokerConfig::Memory => None,
            BrokerConfig::Redis { redis, .. } => {
                let broker = RedisBroker::new(RedisConfig::clone(redis)).context("failed to begin with Redis")?;
                Some(Arc::new(broker))
            }
        };
        let mut hub = Hub::builder().limits(config.limits.clone());
        if let Some(redis) = &redis {
            hub = hub.broker(redis.clone());
        }
        let hub = hub.build();
        let reactors = Reactors::start(&config, &counters).context("failed to start the reactors")?;
        Ok(Arc::new(Self {
            access: Arc::new(Access::new(&config.access, address)),
            admission: Arc::new(Admission::new(&config, hub.clone(), counters.clone())),
            hub,
            redis,
            counters,
            reactors,
            config,
            address,
        }))
    }

    /// Says where the hub is and what to type to see it work.
    pub(crate) fn announce(&self) {
        let mut shown = self.address;
        // The address that means "any" is none that a client can ask for everywhere.
        if shown.ip().is_unspecified() {
            shown.set_ip(if shown.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
        }
        let key = if self.config.access.publish_key.is_some() {
            " -H \"Authorization: Bearer $TIDECAST_PUBLISH_KEY\""
        } else {
            ""
        };
        let version = env!("CARGO_PKG_VERSION");
        // Whoever closed our standard output does not want to know, and is no reason to stop.
        let _ = writeln!(
            std::io::stdout(),
            "Tidecast {version} is at http://{shown}/\n\
             broker: {}\n\
             Open the address in a browser, then: curl http://{shown}/publish{key} -d data=hello",
            self.config.broker
        );
        tracing::info!(address = %self.address, broker = %self.config.broker, "listening");
        for warning in self.config.broker.warnings() {
            tracing::warn!(warning, "something in the Redis URL says nothing to this program");
        }
    }
}
