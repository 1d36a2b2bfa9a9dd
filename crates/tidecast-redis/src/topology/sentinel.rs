//! Asking Sentinels where the primary of a service is.
//!
//! One after the other, the one that answered last first. What it names is believed only when the node itself says that
//! it is a primary: a Sentinel that was cut off may name the one of yesterday. Nothing is kept between connects.

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
    connection::{Connector, ExpectedRole},
    error::CallError,
    reply::{self, ReplyOutcome},
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Sentinels {
    addresses: Vec<Address>,
    service: String,
    /// The index of the one that was of use last.
    first: AtomicUsize,
    /// The primary that one of them has told of by itself, and until when the others may not know.
    preferred: Mutex<Option<(Address, Instant)>>,
}

impl Sentinels {
    pub(crate) fn new(addresses: Vec<Address>, service: String) -> Self {
        Self { addresses, service, first: AtomicUsize::new(0), preferred: Mutex::default() }
    }

    /// Has the next connects try this primary first.
    pub(crate) fn prefer(&self, primary: Address) {
        *self.preferred.lock() = Some((primary, Instant::now() + PREFERRED_FOR));
    }

    /// Asks one Sentinel after the other, until `connect` has found a primary where one said that it is.
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
        let mut failures: Vec<String> = Vec::new();
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
                // The node would say the same to the next.
                Err(CallError::Rejected(message)) => return Err(CallError::Rejected(message)),
                Err(failure) => failures.push(failure.reason().to_owned()),
            }
        }
        // Often all of them name the same node.
        failures.dedup();
        Err(CallError::unavailable(format!("no primary of {:?} found: {}", self.service, failures.join("; "))))
    }

    async fn ask(&self, sentinel: &Address, connector: &Connector) -> Result<Address, CallError> {
        // One that is silent must leave time to ask the others.
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
                return Err(CallError::unavailable(format!("Sentinel {sentinel} knows no service {:?}", self.service)));
            }
            ReplyOutcome::Rejected(message) => {
                return Err(CallError::Rejected(format!("Sentinel {sentinel}: {message}")));
            }
            _ => None,
        };
        match node {
            Some((host, port)) => Ok(Address::Tcp { host, port }),
            None => Err(CallError::unavailable(format!("Sentinel {sentinel} gave no address"))),
        }
    }
}

/// For how long what one Sentinel has told counts more than what another answers.
const PREFERRED_FOR: Duration = Duration::from_secs(30);

/// What each Sentinel is given at least, however many there are.
const SHARE_MIN: Duration = Duration::from_millis(500);
