//! What every request shares.

use std::{io::Write, net::SocketAddr, sync::Arc};

use tidecast::Hub;

use crate::{access::Access, admission::Admission, config::Config, metrics::Counters};

/// The hub and all around it.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) hub: Hub,
    pub(crate) access: Arc<Access>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) counters: Arc<Counters>,
    address: SocketAddr,
}

impl App {
    pub(crate) fn new(config: Config, address: SocketAddr) -> Arc<Self> {
        let counters = Arc::new(Counters::default());
        let hub = Hub::builder().limits(config.limits.clone()).build();
        Arc::new(Self {
            access: Arc::new(Access::new(&config.access, address.ip().is_loopback())),
            admission: Arc::new(Admission::new(&config, hub.clone(), counters.clone())),
            hub,
            counters,
            config,
            address,
        })
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
            "Tidecast {version} is at http://{shown}/ (events are kept in memory)\n\
             Open it in a browser, then: curl http://{shown}/publish{key} -d data=hello"
        );
        tracing::info!(address = %self.address, broker = "memory", "listening");
    }
}
