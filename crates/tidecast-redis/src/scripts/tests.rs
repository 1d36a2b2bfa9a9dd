//! Tests of the scripts on real servers.

mod find_id;
mod forget;
mod history;
mod origin_epochs;
mod publish;
mod rejected;
mod replication_ids;

use std::time::Duration;

use redis::{Connection, ConnectionLike, RedisResult, ServerErrorKind, Value};
use tidecast::{Channel, Epoch, Event, IdempotencyKey, Limits, Position};
use tidecast_test::{PATIENCE, redis::RedisServer};

use super::{
    find_id::IdSearch,
    history::{HistoryPage, Lineage},
    publish::Accepted,
    *,
};
use crate::{
    PlainFormat,
    codec::{Decoded, decode, decode_stored},
    config::ChannelKind,
    keys::{ChannelKeys, Keys},
    replication_ids::ReplicationIds,
};

/// Returns the last position of an earlier epoch.
fn end_of(lineage: &Lineage, epoch: Epoch) -> Option<Position> {
    let ended = lineage.ends().into_iter().find(|(ended, _)| *ended == epoch);
    ended.map(|(epoch, offset)| Position { epoch, offset })
}

const DAY: Duration = Duration::from_secs(86_400);

/// A server, a connection to it, and a channel on it.
struct ScriptRig {
    server: RedisServer,
    connection: Connection,
    channel: Channel,
    keys: ChannelKeys,
    retention: Retention,
    format: PlainFormat,
    replication_ids: ReplicationIds,
}

impl ScriptRig {
    fn new() -> Self {
        Self::on(RedisServer::start(&[]))
    }

    fn on(server: RedisServer) -> Self {
        let connection = connect(&server.url());
        let channel = Channel::default();
        let keys = Keys::new("tidecast", 0).channel(&channel);
        let retention = Retention {
            events_max: 10_000,
            events_age_max: DAY,
            idle_age_max: DAY,
            idempotency_age_max: Duration::from_secs(300),
        };
        Self {
            server,
            connection,
            channel,
            keys,
            retention,
            format: PlainFormat::Object,
            replication_ids: ReplicationIds::default(),
        }
    }

    fn use_channel(&mut self, name: &str) {
        self.channel = Channel::new(name).unwrap();
        self.keys = Keys::new("tidecast", 0).channel(&self.channel);
    }

    /// Restarts the server, with a snapshot of its data.
    fn restart(&mut self) {
        self.command(&["SAVE"]);
        self.server.kill();
        self.server.run();
        self.connection = connect(&self.server.url());
    }

    fn command(&mut self, command: &[&str]) -> Value {
        let mut request = redis::cmd(command[0]);
        request.arg(&command[1..]);
        request.query(&mut self.connection).unwrap()
    }

    fn text(&mut self, command: &[&str]) -> String {
        redis::from_redis_value(self.command(command)).unwrap()
    }

    fn number(&mut self, command: &[&str]) -> i64 {
        redis::from_redis_value(self.command(command)).unwrap()
    }

    /// Returns all that Redis has, for comparison.
    fn everything(&mut self) -> Vec<Value> {
        let (meta, events) = (self.keys.meta.clone(), self.keys.events.clone());
        vec![
            self.command(&["DBSIZE"]),
            self.command(&["HGETALL", &meta]),
            if self.number(&["EXISTS", &events]) == 0 {
                Value::Nil
            } else {
                self.command(&["XRANGE", &events, "-", "+"])
            },
        ]
    }

    fn try_publish(&mut self, event: &Event, key: Option<&str>, receipt: &str) -> RedisResult<Accepted> {
        let key = key.map(|key| IdempotencyKey::new(key).unwrap());
        let publish = Publish {
            keys: &self.keys,
            event,
            idempotency_key: key.as_ref(),
            receipt,
            target: PublishTarget { name: self.channel.as_str(), kind: ChannelKind::Plain, format: self.format },
            retention: &self.retention,
            seen: &self.replication_ids.snapshot(),
        };
        let call = publish.call();
        let accepted = run(&mut self.connection, &call).map(|value| Publish::parse(value).unwrap())?;
        self.replication_ids.record(&accepted.server);
        Ok(accepted)
    }

    fn publish(&mut self, text: &str) -> Position {
        let accepted = self.try_publish(&Event::text(text), None, "").unwrap();
        assert!(!accepted.repeated);
        accepted.position
    }

    fn publish_once(&mut self, text: &str, key: &str, receipt: &str) -> Accepted {
        self.try_publish(&Event::text(text), Some(key), receipt).unwrap()
    }

    fn try_read(&mut self, after: Option<u64>, limit: usize, bytes_max: usize) -> RedisResult<Option<HistoryPage>> {
        let call =
            ReadHistory { keys: &self.keys, after, limit, bytes_max, idle_age_max: self.retention.idle_age_max }.call();
        run(&mut self.connection, &call).map(|value| ReadHistory::parse(value).unwrap())
    }

    /// Reads the channel, which must have a head.
    fn read(&mut self, after: Option<u64>) -> HistoryPage {
        self.try_read(after, 1_000, usize::MAX >> 11).unwrap().unwrap()
    }

    /// Returns whether the channel has no event and nothing was lost.
    fn is_empty(&mut self) -> bool {
        let page = self.try_read(None, 10, 1_000).unwrap().unwrap();
        page.head.offset == 0 && page.complete && page.events.is_empty()
    }

    fn forget(&mut self) -> Option<Position> {
        let names = Keys::new("tidecast", 0);
        let call = Forget { keys: &self.keys, idle_age_max: DAY, control: names.control(), message: b"sse" }.call();
        Forget::parse(run(&mut self.connection, &call).unwrap()).unwrap()
    }

    fn head(&mut self) -> Option<Position> {
        parse_head(head_command(&self.keys).query(&mut self.connection).unwrap()).unwrap()
    }
}

/// A subscription to one name.
struct PubSubClient(Connection);

impl PubSubClient {
    fn new(rig: &ScriptRig, command: &str, name: &str) -> Self {
        let mut connection = connect(&rig.server.url());
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        connection.send_packed_command(&redis::cmd(command).arg(name).get_packed_command()).unwrap();
        connection.recv_response().unwrap();
        Self(connection)
    }

    fn next(&mut self) -> Vec<u8> {
        let Value::Array(mut message) = self.0.recv_response().unwrap() else { panic!("a message is an array") };
        redis::from_redis_value(message.pop().unwrap()).unwrap()
    }

    fn next_native(&mut self) -> (Position, Event, bool) {
        match decode(&self.next(), &Limits::default()) {
            Decoded::Native { position, event, partial } => (position, event, partial),
            other => panic!("{other:?}"),
        }
    }
}

fn connect(url: &str) -> Connection {
    redis::Client::open(url).unwrap().get_connection().unwrap()
}

/// Runs a script, sending its source if the server does not know it.
fn run(connection: &mut impl ConnectionLike, call: &ScriptCall) -> RedisResult<Value> {
    match call.by_digest().query(connection) {
        Err(error) if error.kind() == redis::ErrorKind::Server(ServerErrorKind::NoScript) => {
            call.by_text().query(connection)
        }
        answer => answer,
    }
}

/// Returns the offsets and texts of stored events.
fn texts(page: &HistoryPage) -> Vec<(u64, String)> {
    let text = |payload: &[u8]| decode_stored(payload, &Limits::default()).unwrap().data().to_owned();
    page.events.iter().map(|stored| (stored.offset, text(&stored.payload))).collect()
}

fn offsets(page: &HistoryPage) -> Vec<u64> {
    page.events.iter().map(|stored| stored.offset).collect()
}
