//! Finds the primary of a service by asking its Sentinels, one after the other.
//!
//! A Sentinel that was cut off may name a former primary, so the node itself must report that role.

use std::{
    future::Future,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use redis::Value;
use tokio::time::{Instant, timeout};

use crate::{
    address::Address,
    connector::Connector,
    error::CallError,
    handshake::ExpectedRole,
    reply::{self, ReplyOutcome},
};

/// The Sentinels of a service.
#[derive(Debug)]
pub(crate) struct Sentinels {
    addresses: Vec<Address>,
    service: String,
    /// The index of the Sentinel that was useful last. It is asked first.
    first: AtomicUsize,
    /// The primary that a Sentinel announced, and the time until which the others may not know it.
    preferred: Mutex<Option<(Address, Instant)>>,
}

impl Sentinels {
    pub(crate) fn new(addresses: Vec<Address>, service: String) -> Self {
        Self { addresses, service, first: AtomicUsize::new(0), preferred: Mutex::default() }
    }

    /// Has connects try this primary first for a while.
    pub(crate) fn prefer(&self, primary: Address) {
        *self.preferred.lock() = Some((primary, Instant::now() + PREFERRED_FOR));
    }

    /// Asks one Sentinel after the other until `connect` succeeds with the primary that it names.
    pub(crate) async fn connect<T, F>(
        &self,
        connector: &Connector,
        connect: impl Fn(Address) -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let preferred = self.preferred.lock().clone();
        if let Some((primary, until)) = preferred
            && Instant::now() < until
            && let Ok(connected) = connect(primary).await
        {
            return Ok(connected);
        }
        let first = self.first.load(Ordering::Relaxed);
        let mut errors: Vec<String> = Vec::new();
        for index in (0..self.addresses.len()).map(|index| (first + index) % self.addresses.len()) {
            let attempt = async {
                let node = self.ask(&self.addresses[index], connector).await?;
                connect(node).await
            };
            match attempt.await {
                Ok(connected) => {
                    self.first.store(index, Ordering::Relaxed);
                    return Ok(connected);
                }
                // The node would reject the next attempt too.
                Err(CallError::Rejected(message)) => return Err(CallError::Rejected(message)),
                Err(error) => errors.push(error.reason().to_owned()),
            }
        }
        // Often all Sentinels name the same node.
        errors.dedup();
        Err(CallError::unavailable(format!("no primary of {:?} found: {}", self.service, errors.join("; "))))
    }

    async fn ask(&self, sentinel: &Address, connector: &Connector) -> Result<Address, CallError> {
        // A silent Sentinel must leave time to ask the others.
        let share = connector.config.connect_timeout / u32::try_from(self.addresses.len()).unwrap_or(u32::MAX);
        let share = share.max(SHARE_MIN.min(connector.config.connect_timeout));
        let asked = timeout(share, async {
            let connection = connector.connect(sentinel, ExpectedRole::Sentinel).await?;
            let mut command = redis::cmd("SENTINEL");
            command.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.service);
            let reply = connection.send(&command).await;
            reply.map_err(|error| CallError::unavailable(format!("Sentinel {sentinel}: {error}")))
        });
        let reply = asked.await.unwrap_or_else(|_| {
            Err(CallError::unavailable(format!("Sentinel {sentinel} did not answer within {share:?}")))
        })?;
        let node = match ReplyOutcome::from(reply) {
            ReplyOutcome::Value(Value::Array(parts)) => match parts.as_slice() {
                [host, port] => reply::text(host).zip(reply::text(port).and_then(|port| port.parse().ok())),
                _ => None,
            },
            ReplyOutcome::Value(Value::Nil) => {
                return Err(CallError::unavailable(format!(
                    "Sentinel {sentinel} does not know the service {:?}",
                    self.service
                )));
            }
            ReplyOutcome::Rejected(message) => {
                return Err(CallError::Rejected(format!("Sentinel {sentinel}: {message}")));
            }
            _ => None,
        };
        match node {
            Some((host, port)) => Ok(Address::Tcp { host, port }),
            None => Err(CallError::unavailable(format!("Sentinel {sentinel} sent no address"))),
        }
    }
}

/// How long an announced primary takes precedence over what Sentinels answer.
const PREFERRED_FOR: Duration = Duration::from_secs(30);

/// The shortest time that each Sentinel is given to answer.
const SHARE_MIN: Duration = Duration::from_millis(500);
