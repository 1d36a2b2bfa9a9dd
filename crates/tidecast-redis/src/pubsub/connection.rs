//! One connection that listens: subscribes, and gives each push to a closure in the task that reads the socket.
//!
//! It does not connect again and remembers no channels; the listener does both. Its own reader, not the library's
//! multiplexed connection: that takes an unasked `sunsubscribe`, which a moved slot brings, for the reply to whatever
//! was asked last. Parsing is the library's.

mod pending;

use std::{fmt, sync::Arc, time::Duration};

use redis::{Cmd, PushInfo, PushKind, Value, parse_redis_value_async};
use tokio::{
    io::{AsyncWriteExt, WriteHalf, split},
    sync::{mpsc, watch},
    task::AbortHandle,
    time::timeout,
};

use self::pending::{AwaitedReply, PendingReplies};
use crate::{
    address::Address,
    connection::{Connector, ExpectedRole, handshake_commands, verify_handshake},
    error::CallError,
    reply::ReplyOutcome,
    transport::Transport,
};

/// See the module. Dropping it closes the socket.
pub(crate) struct PubSubConnection {
    address: Address,
    pending: Arc<PendingReplies>,
    requests: mpsc::Sender<Vec<u8>>,
    ended: watch::Receiver<Option<String>>,
    reader: AbortHandle,
    writer: AbortHandle,
    answer_max: Duration,
}

/// What is called with each push.
pub(crate) type OnPush = Arc<dyn Fn(PushInfo) + Send + Sync>;

impl PubSubConnection {
    /// Connects and begins to read. The caller puts a deadline on it.
    pub(crate) async fn open(
        connector: &Connector,
        address: &Address,
        expected: ExpectedRole,
        on_push: OnPush,
    ) -> Result<Self, CallError> {
        let (mut read, mut write) = split(connector.open(address).await?);
        // What it holds at the end of the greeting may be the beginning of what follows, so it goes on to the reader.
        let mut decoder = Default::default();
        let lost = |error: &dyn fmt::Display| CallError::unavailable(format!("{address}: {error}"));

        let handshake_commands = handshake_commands(&connector.config.client_name);
        let mut greeting = hello(connector, expected).get_packed_command();
        greeting.extend(handshake_commands.get_packed_pipeline());
        write.write_all(&greeting).await.map_err(|error| lost(&error))?;
        write.flush().await.map_err(|error| lost(&error))?;
        let mut answers = Vec::with_capacity(1 + handshake_commands.len());
        for _ in 0..=handshake_commands.len() {
            answers.push(parse_redis_value_async(&mut decoder, &mut read).await.map_err(|error| lost(&error))?);
        }
        match ReplyOutcome::from(answers.remove(0)) {
            ReplyOutcome::Value(_) => {}
            ReplyOutcome::Unavailable(message) | ReplyOutcome::NotPrimary(message) => {
                return Err(CallError::unavailable(message));
            }
            ReplyOutcome::Rejected(message) => return Err(CallError::Rejected(message)),
            other => {
                return Err(CallError::Rejected(format!(
                    "{address} does not speak RESP3, so it is no Redis 6: {other:?}"
                )));
            }
        }
        verify_handshake(address, expected, &answers)?;

        let (tell_ended, ended) = watch::channel(None);
        let pending = Arc::new(PendingReplies::new(tell_ended));
        let (requests, to_write) = mpsc::channel(REQUESTS_MAX);
        let writer = tokio::spawn(write_requests(write, to_write, Arc::clone(&pending)));
        let reader = tokio::spawn({
            let pending = Arc::clone(&pending);
            async move {
                // Also where the closure panics: the listener must not believe that it still hears.
                let _guard = TaskGuard(Arc::clone(&pending));
                loop {
                    match parse_redis_value_async(&mut decoder, &mut read).await {
                        Ok(Value::Push { kind, data }) => take_push(kind, data, &pending, &on_push),
                        Ok(reply) => pending.on_reply(reply),
                        Err(error) => return pending.end(&error.to_string()),
                    }
                }
            }
        });
        Ok(Self {
            address: address.clone(),
            pending,
            requests,
            ended,
            reader: reader.abort_handle(),
            writer: writer.abort_handle(),
            answer_max: connector.config.probe_timeout,
        })
    }

    /// Subscribes; returns when the server has confirmed every name. They are sent 512 at a time.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, some of the names may be subscribed. The connection goes on. As for all that follow.
    pub(crate) async fn subscribe(&self, channels: &[impl AsRef<[u8]>]) -> Result<(), CallError> {
        self.change("SUBSCRIBE", PushKind::Subscribe, channels).await
    }

    pub(crate) async fn unsubscribe(&self, channels: &[impl AsRef<[u8]>]) -> Result<(), CallError> {
        self.change("UNSUBSCRIBE", PushKind::Unsubscribe, channels).await
    }

    /// Subscribes to all channels that match a pattern.
    pub(crate) async fn psubscribe(&self, patterns: &[impl AsRef<[u8]>]) -> Result<(), CallError> {
        self.change("PSUBSCRIBE", PushKind::PSubscribe, patterns).await
    }

    /// The same for sharded channels, which may be of different slots.
    pub(crate) async fn ssubscribe(&self, channels: &[impl AsRef<[u8]>]) -> Result<(), CallError> {
        self.change("SSUBSCRIBE", PushKind::SSubscribe, channels).await
    }

    pub(crate) async fn sunsubscribe(&self, channels: &[impl AsRef<[u8]>]) -> Result<(), CallError> {
        self.change("SUNSUBSCRIBE", PushKind::SUnsubscribe, channels).await
    }

    /// Whether the server still answers, within the probe's timeout. If not, the connection is at its end.
    pub(crate) async fn ping(&self) -> Result<(), CallError> {
        let request = redis::cmd("PING").get_packed_command();
        self.ask(request, vec![AwaitedReply::Pong]).await
    }

    /// The same, and whether it is still a primary: one that was made a replica may keep its connections.
    pub(crate) async fn check_primary(&self) -> Result<(), CallError> {
        let request = redis::cmd("ROLE").get_packed_command();
        self.ask(request, vec![AwaitedReply::Role]).await
    }

    /// Resolves when the connection has ended, with what ended it; at once if it has ended already.
    pub(crate) async fn closed(&self) -> String {
        let mut ended = self.ended.clone();
        let reason = ended.wait_for(Option::is_some).await;
        reason.ok().and_then(|reason| reason.clone()).unwrap_or_else(|| "the connection has ended".to_owned())
    }

    /// Which node it is connected to.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    async fn change(&self, name: &str, kind: PushKind, channels: &[impl AsRef<[u8]>]) -> Result<(), CallError> {
        let sharded = matches!(kind, PushKind::SSubscribe | PushKind::SUnsubscribe);
        for batch in channels.chunks(NAMES_MAX) {
            // One command has names of one slot only.
            let names_a_command = if sharded { 1 } else { NAMES_MAX };
            let mut request = Vec::new();
            let mut awaited = Vec::new();
            for names in batch.chunks(names_a_command) {
                let mut command = redis::cmd(name);
                for channel in names {
                    command.arg(channel.as_ref());
                }
                request.extend(command.get_packed_command());
                let names = names.iter().map(|channel| channel.as_ref().to_vec()).collect();
                awaited.push(AwaitedReply::Confirmations { kind: kind.clone(), names });
            }
            self.ask(request, awaited).await?;
        }
        Ok(())
    }

    /// Sends what is packed and waits for all that is to come of it.
    async fn ask(&self, request: Vec<u8>, awaited: Vec<AwaitedReply>) -> Result<(), CallError> {
        let answered = async {
            let Ok(permit) = self.requests.reserve().await else { return Err(self.lost()) };
            // Both in one go, so that nobody else's request comes between the order here and the order on the wire.
            let answers = self.pending.push(awaited, || permit.send(request));
            let mut all = Ok(());
            for answer in answers {
                let answer = answer.await.unwrap_or_else(|_| Err(self.lost()));
                all = all.and(answer);
            }
            all
        };
        match timeout(self.answer_max, answered).await {
            Ok(answered) => answered,
            Err(_) => {
                let reason = format!("{}: no answer within {:?}", self.address, self.answer_max);
                self.pending.end(&reason);
                self.reader.abort();
                self.writer.abort();
                Err(CallError::maybe_executed(reason))
            }
        }
    }

    fn lost(&self) -> CallError {
        let reason = self.ended.borrow().clone().unwrap_or_else(|| "the connection has ended".to_owned());
        CallError::maybe_executed(format!("{}: {reason}", self.address))
    }
}

impl Drop for PubSubConnection {
    fn drop(&mut self) {
        self.reader.abort();
        self.writer.abort();
    }
}

impl fmt::Debug for PubSubConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenConnection")
            .field("address", &self.address)
            .field("ended", &*self.ended.borrow())
            .finish()
    }
}

/// Whatever ends the task that has it, ends the connection for all.
struct TaskGuard(Arc<PendingReplies>);

impl Drop for TaskGuard {
    fn drop(&mut self) {
        self.0.end("the connection was given up");
    }
}

/// The closure hears of it before whoever waits for a confirmation, as it comes before what is published after it.
fn take_push(kind: PushKind, data: Vec<Value>, pending: &PendingReplies, on_push: &OnPush) {
    let name = match data.first() {
        Some(Value::BulkString(name)) if pending.is_confirmation(&kind) => Some((kind.clone(), name.clone())),
        _ => None,
    };
    on_push(PushInfo { kind, data });
    if let Some((kind, name)) = name {
        pending.on_confirmation(&kind, &name);
    }
}

async fn write_requests(
    mut write: WriteHalf<Transport>,
    mut requests: mpsc::Receiver<Vec<u8>>,
    pending: Arc<PendingReplies>,
) {
    let _guard = TaskGuard(Arc::clone(&pending));
    while let Some(request) = requests.recv().await {
        let written = async {
            write.write_all(&request).await?;
            write.flush().await
        };
        if let Err(error) = written.await {
            return pending.end(&error.to_string());
        }
    }
}

fn hello(connector: &Connector, expected: ExpectedRole) -> Cmd {
    let login = connector.login(expected);
    let mut hello = redis::cmd("HELLO");
    hello.arg(3);
    if let Some(password) = login.effective_password() {
        hello.arg("AUTH").arg(login.username.as_deref().unwrap_or("default")).arg(password);
    }
    hello
}

/// How many names go out in one piece, confirmed before the next.
const NAMES_MAX: usize = 512;

/// How many requests may wait to be written; more wait for that.
const REQUESTS_MAX: usize = 16;

#[cfg(test)]
mod tests;
