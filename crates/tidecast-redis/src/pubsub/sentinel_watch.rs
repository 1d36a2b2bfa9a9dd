//! Watches the Sentinels: once a replica is promoted, the connections move there at once.
//!
//! After a requested failover, the old primary accepts events for some ten seconds, and loses them when it is demoted.
//! Nothing on its connections shows it.

use std::{sync::Arc, time::Duration};

use redis::{PushInfo, PushKind, Value};
use tokio::time::{sleep, timeout};

use crate::{
    address::Address, backoff::Backoff, config::ChannelKind, connector::Connector, error::CallError,
    handshake::ExpectedRole, pubsub::connection::PubSubConnection, pubsub::context::BrokerContext, reply::text,
    supervise::FailPoint,
};

/// The pauses between attempts to reach a Sentinel. They are long, because the others announce the same.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(10));

/// The events of a promotion: the first when a replica is promoted, the second when the Sentinels agree on it.
const EVENTS: [&str; 2] = ["+promoted-slave", "+switch-master"];

/// Watches a Sentinel forever.
pub(crate) async fn watch(context: &Arc<BrokerContext>, sentinel: &Address, service: &str) {
    let mut backoff = PAUSES;
    loop {
        let reason = match listen(context, sentinel, service).await {
            Ok(ended) => {
                backoff.reset();
                ended
            }
            Err(error) => error.to_string(),
        };
        let retry_in = backoff.after_failure(fastrand::f64());
        tracing::debug!(%sentinel, reason, ?retry_in, "redis: cannot watch a sentinel; retrying");
        sleep(retry_in).await;
    }
}

/// Listens until the connection ends. Returns the reason.
async fn listen(context: &Arc<BrokerContext>, sentinel: &Address, service: &str) -> Result<String, CallError> {
    context.fail_points.trip(FailPoint::Sentinels);
    let (shared, watched) = (context.clone(), service.to_owned());
    let on_push = move |push: PushInfo| {
        if let Some(primary) = promoted(&push, &watched) {
            shared.commands.switch_to(&primary);
        }
    };
    let connector: &Connector = context.commands.connector();
    let opening = PubSubConnection::open(connector, sentinel, ExpectedRole::Sentinel, Arc::new(on_push));
    let connection = timeout(connector.config.connect_timeout, opening).await;
    let connection =
        connection.unwrap_or_else(|_| Err(CallError::unavailable(format!("{sentinel}: no connection in time"))))?;
    connection.subscribe(ChannelKind::Plain, &EVENTS).await?;
    let pause = context.config.probe_interval.max(Duration::from_millis(100));
    loop {
        tokio::select! {
            ended = connection.closed() => return Ok(ended),
            () = sleep(pause) => connection.ping().await?,
        }
    }
}

/// Returns the address of the service's new primary, if a push announces one.
fn promoted(push: &PushInfo, service: &str) -> Option<Address> {
    let [Value::BulkString(event), message] = push.data.as_slice() else { return None };
    if push.kind != PushKind::Message {
        return None;
    }
    let message = text(message)?;
    let parts: Vec<&str> = message.split(' ').collect();
    let (host, port) = match (&event[..], &parts[..]) {
        (b"+switch-master", [name, _, _, host, port]) if *name == service => (host, port),
        (b"+promoted-slave", ["slave", _, host, port, "@", name, ..]) if *name == service => (host, port),
        _ => return None,
    };
    Some(Address::Tcp { host: (*host).to_owned(), port: port.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn primary(event: &str, message: &str) -> Option<String> {
        let data = [event, message].map(|text| Value::BulkString(text.as_bytes().to_vec())).to_vec();
        promoted(&PushInfo { kind: PushKind::Message, data }, "mine").map(|address| address.to_string())
    }

    #[test]
    fn promotions_are_parsed() {
        assert_eq!(primary("+switch-master", "mine 10.0.0.1 6379 10.0.0.2 6380").as_deref(), Some("10.0.0.2:6380"));
        let promoted = "slave 10.0.0.2:6380 10.0.0.2 6380 @ mine 10.0.0.1 6379";
        assert_eq!(primary("+promoted-slave", promoted).as_deref(), Some("10.0.0.2:6380"));
        for (event, message) in [
            ("+switch-master", "other 10.0.0.1 6379 10.0.0.2 6380"),
            ("+switch-master", "mine 10.0.0.1 6379 10.0.0.2"),
            ("+switch-master", "mine 10.0.0.1 6379 10.0.0.2 x"),
            ("+promoted-slave", "slave 10.0.0.2:6380 10.0.0.2 6380 @ other 10.0.0.1 6379"),
            ("+sdown", promoted),
            ("+switch-master", ""),
        ] {
            assert_eq!(primary(event, message), None, "{event} {message}");
        }
    }
}
