//! Listening to the Sentinels: once a replica is promoted, the connections move there at once.
//!
//! After a failover that was asked for, the old primary goes on to accept events for some ten seconds, and loses them when
//! it is made a replica. Nothing on its connections tells.

use std::{sync::Arc, time::Duration};

use redis::{PushInfo, PushKind, Value};
use tokio::time::{sleep, timeout};

use crate::{
    address::Address,
    backoff::Backoff,
    connection::{Connector, ExpectedRole},
    context::BrokerContext,
    error::CallError,
    pubsub::connection::PubSubConnection,
    reply::text,
    supervise::FailPoint,
};

/// The pauses between attempts to reach one Sentinel: others tell the same.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(10));

/// What the Sentinels publish: the first when a replica was promoted, the second when all agree on it.
const EVENTS: [&str; 2] = ["+promoted-slave", "+switch-master"];

/// Listens to one Sentinel for ever.
pub(crate) async fn watch(context: &Arc<BrokerContext>, sentinel: &Address, service: &str) {
    let mut backoff = PAUSES;
    loop {
        let reason = match listen(context, sentinel, service).await {
            Ok(ended) => {
                backoff.reset();
                ended
            }
            Err(failure) => failure.to_string(),
        };
        let retry_in = backoff.after_failure(fastrand::f64());
        tracing::debug!(%sentinel, reason, ?retry_in, "redis: not listening to a sentinel");
        sleep(retry_in).await;
    }
}

/// Listens until the connection ends; answers with why it did.
async fn listen(context: &Arc<BrokerContext>, sentinel: &Address, service: &str) -> Result<String, CallError> {
    context.fail_points.trip(FailPoint::Sentinels);
    let (to, of) = (context.clone(), service.to_owned());
    let on_push = move |push: PushInfo| {
        if let Some(primary) = promoted(&push, &of) {
            to.commands.switch_to(&primary);
        }
    };
    let connector: &Connector = context.commands.connector();
    let opening = PubSubConnection::open(connector, sentinel, ExpectedRole::Sentinel, Arc::new(on_push));
    let connection = timeout(connector.config.connect_timeout, opening).await;
    let connection = connection.unwrap_or_else(|_| Err(CallError::unavailable("no connection in time")))?;
    connection.subscribe(&EVENTS).await?;
    let pause = context.config.probe_interval.max(Duration::from_millis(100));
    loop {
        tokio::select! {
            ended = connection.closed() => return Ok(ended),
            () = sleep(pause) => connection.ping().await?,
        }
    }
}

/// Returns the address of the service's new primary, if a push tells of one.
fn promoted(push: &PushInfo, service: &str) -> Option<Address> {
    let [Value::BulkString(event), message] = push.data.as_slice() else { return None };
    if push.kind != PushKind::Message {
        return None;
    }
    let message = text(message)?;
    let words: Vec<&str> = message.split(' ').collect();
    let (host, port) = match (&event[..], &words[..]) {
        (b"+switch-master", [name, _, _, host, port]) if *name == service => (host, port),
        (b"+promoted-slave", ["slave", _, host, port, "@", name, ..]) if *name == service => (host, port),
        _ => return None,
    };
    Some(Address::Tcp { host: (*host).to_owned(), port: port.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(event: &str, message: &str) -> Option<String> {
        let data = [event, message].map(|text| Value::BulkString(text.as_bytes().to_vec())).to_vec();
        promoted(&PushInfo { kind: PushKind::Message, data }, "mine").map(|address| address.to_string())
    }

    #[test]
    fn what_sentinels_say_is_understood() {
        assert_eq!(told("+switch-master", "mine 10.0.0.1 6379 10.0.0.2 6380").as_deref(), Some("10.0.0.2:6380"));
        let promoted = "slave 10.0.0.2:6380 10.0.0.2 6380 @ mine 10.0.0.1 6379";
        assert_eq!(told("+promoted-slave", promoted).as_deref(), Some("10.0.0.2:6380"));
        for (event, message) in [
            ("+switch-master", "other 10.0.0.1 6379 10.0.0.2 6380"),
            ("+switch-master", "mine 10.0.0.1 6379 10.0.0.2"),
            ("+switch-master", "mine 10.0.0.1 6379 10.0.0.2 x"),
            ("+promoted-slave", "slave 10.0.0.2:6380 10.0.0.2 6380 @ other 10.0.0.1 6379"),
            ("+sdown", promoted),
            ("+switch-master", ""),
        ] {
            assert_eq!(told(event, message), None, "{event} {message}");
        }
    }
}
