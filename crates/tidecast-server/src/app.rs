//! What every request shares.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use tidecast::{Hub, broker::Broker};
use tidecast_axum::internals::sweep_until_closed;

use crate::{
    auth::Auth,
    config::{Config, ConfigHandle},
    http::body::BodyMemory,
    observe::{metrics::Counters, terminal},
    reactor::Reactors,
    streams::admission::Admission,
    supervise::Tasks,
};

/// The hub and all around it.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) config: Config,
    /// The configuration in force. A request reads the settings that may change from here.
    pub(crate) settings: Arc<ConfigHandle>,
    pub(crate) hub: Hub,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) auth: Arc<Auth>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) reactors: Reactors,
    pub(crate) bodies: BodyMemory,
    pub(crate) tasks: Arc<Tasks>,
    address: SocketAddr,
}

impl App {
    /// Builds everything, within a runtime.
    pub(crate) fn new(config: Config, address: SocketAddr, tasks: Arc<Tasks>) -> anyhow::Result<Arc<Self>> {
        let counters = Arc::new(Counters::default());
        let settings = Arc::new(ConfigHandle::new(config.clone()));
        let broker = config.broker.build().context("failed to start the broker")?;
        let hub = Hub::builder().limits(config.limits.clone()).broker(broker.clone()).build();
        sweep(&hub, &tasks);
        let reactors = Reactors::start(&config, &counters, &tasks).context("failed to start the reactors")?;
        Ok(Arc::new(Self {
            auth: Arc::new(Auth::new(settings.clone(), address, counters.clone())),
            admission: Arc::new(Admission::new(settings.clone(), hub.clone(), counters.clone())),
            hub,
            broker,
            counters,
            reactors,
            bodies: BodyMemory::new(config.bodies_bytes_max),
            tasks,
            settings,
            config,
            address,
        }))
    }

    /// Says where the hub is and what to type to see it work, and what there is to warn of.
    pub(crate) fn announce(&self, warnings: &[String]) {
        let mut shown = self.address;
        let mut is_at = "is at";
        let listening = format!("is listening on {shown}, for example");
        // The address that means "any" is none that a client can ask for everywhere.
        if shown.ip().is_unspecified() {
            is_at = &listening;
            shown.set_ip(if shown.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
        }
        let key = if self.config.access.publish_key.is_some() {
            " -H \"Authorization: Bearer $TIDECAST_PUBLISH_KEY\""
        } else {
            ""
        };
        let version = env!("CARGO_PKG_VERSION");
        let text = format!(
            "Tidecast {version} {is_at} http://{shown}/\n\
             broker: {}\n\
             Open the address in a browser, then: curl http://{shown}/publish{key} -d data=hello\n",
            self.config.broker
        );
        // A standard output that is closed, or that nobody reads, is no reason to stop or to wait.
        terminal::with_timeout(move || drop(terminal::print(&text)));
        tracing::info!(address = %self.address, broker = %self.config.broker, "listening");
        for warning in warnings {
            tracing::warn!(warning, "configuration warning");
        }
    }
}

/// Sweeps a hub as long as it is open. Beside the workers, as a stream's own thread may be another's tomorrow.
fn sweep(hub: &Hub, tasks: &Tasks) {
    let task = tasks.add("sweeper");
    let Some(sweeper) = hub.sweeper() else { return };
    tokio::spawn(async move { task.supervise(|| sweep_until_closed(&sweeper)).await });
}
