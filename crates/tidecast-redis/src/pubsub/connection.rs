//! A pub/sub connection: subscribes, and passes each push to a closure in the task that reads the socket.
//!
//! It does not reconnect and remembers no channels; the worker does. It has its own reader, because the redis crate's
//! multiplexed connection takes an unsolicited `sunsubscribe`, which a moved slot causes, for the reply to the last
//! command. The redis crate parses the replies.

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
    commands::{Commands, ListenTarget},
    config::ChannelKind,
    connector::Connector,
    error::CallError,
    handshake::{ExpectedRole, handshake_commands, verify_handshake},
    reply::ReplyOutcome,
    transport::Transport,
};

/// A connection for pub/sub. Dropping it closes the socket.
pub(crate) struct PubSubConnection {
    address: Address,
    pending: Arc<PendingReplies>,
    requests: mpsc::Sender<Vec<u8>>,
    ended: watch::Receiver<Option<String>>,
    reader: AbortHandle,
    writer: AbortHandle,
    reply_timeout: Duration,
}

/// The function called with each push.
pub(crate) type OnPush = Arc<dyn Fn(PushInfo) + Send + Sync>;

impl PubSubConnection {
    /// Connects to a target. `on_push` runs in the task that reads the socket, and must not block.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the socket.
    pub(crate) async fn connect(
        commands: &Commands,
        target: &ListenTarget,
        on_push: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<Self, CallError> {
        let (endpoint, connector) = (commands.endpoint_of(target)?, commands.connector());
        // Shared, because Sentinels may name one node after the other.
        let on_push: OnPush = Arc::new(on_push);
        let opening = endpoint.connect(connector, |address, expected| {
            let on_push = Arc::clone(&on_push);
            async move { Self::open(connector, &address, expected, on_push).await }
        });
        let limit = connector.config.connect_timeout;
        let opened = timeout(limit, Box::pin(opening)).await;
        opened.unwrap_or_else(|_| Err(CallError::unavailable(format!("no connection within {limit:?}"))))
    }

    /// Connects and begins to read. The caller sets the deadline.
    pub(crate) async fn open(
        connector: &Connector,
        address: &Address,
        expected: ExpectedRole,
        on_push: OnPush,
    ) -> Result<Self, CallError> {
        let (mut read, mut write) = split(connector.open(address).await?);
        // After the handshake it may have the beginning of the next reply, so the reader uses it too.
        let mut decoder = Default::default();
        let commands = handshake_commands(&connector.config.client_name);
        let mut greeting = hello(connector, expected).get_packed_command();
        greeting.extend(commands.get_packed_pipeline());
        write.write_all(&greeting).await.map_err(|error| CallError::at(address, error))?;
        write.flush().await.map_err(|error| CallError::at(address, error))?;
        let mut replies = Vec::with_capacity(1 + commands.len());
        for _ in 0..=commands.len() {
            let reply = parse_redis_value_async(&mut decoder, &mut read).await;
            replies.push(reply.map_err(|error| CallError::at(address, error))?);
        }
        ReplyOutcome::from(replies.remove(0)).into_result().map_err(|error| match error {
            CallError::Protocol(reason) => {
                CallError::Rejected(format!("{address} does not support RESP3, which needs Redis 6: {reason}"))
            }
            error => error,
        })?;
        verify_handshake(address, expected, &replies)?;

        let (sender, ended) = watch::channel(None);
        let pending = Arc::new(PendingReplies::new(sender));
        let (requests, to_write) = mpsc::channel(REQUESTS_MAX);
        let writer = tokio::spawn(write_requests(write, to_write, Arc::clone(&pending)));
        let reader = tokio::spawn({
            let pending = Arc::clone(&pending);
            async move {
                // If the closure panics, the worker must notice that the connection has ended.
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
            reply_timeout: connector.config.probe_timeout,
        })
    }

    /// Subscribes to names, 512 at a time, and waits until the server has confirmed all of them. Sharded ones may have
    /// different slots.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the server may have subscribed some of the names. This holds for all methods here.
    pub(crate) async fn subscribe(&self, kind: ChannelKind, names: &[impl AsRef<[u8]>]) -> Result<(), CallError> {
        match kind {
            ChannelKind::Plain => self.change("SUBSCRIBE", PushKind::Subscribe, names).await,
            ChannelKind::Sharded => self.change("SSUBSCRIBE", PushKind::SSubscribe, names).await,
        }
    }

    pub(crate) async fn unsubscribe(&self, kind: ChannelKind, names: &[impl AsRef<[u8]>]) -> Result<(), CallError> {
        match kind {
            ChannelKind::Plain => self.change("UNSUBSCRIBE", PushKind::Unsubscribe, names).await,
            ChannelKind::Sharded => self.change("SUNSUBSCRIBE", PushKind::SUnsubscribe, names).await,
        }
    }

    /// Subscribes to all plain channels that match patterns.
    pub(crate) async fn subscribe_to_patterns(&self, patterns: &[impl AsRef<[u8]>]) -> Result<(), CallError> {
        self.change("PSUBSCRIBE", PushKind::PSubscribe, patterns).await
    }

    /// Checks that the server answers within the probe's time-out. If not, the connection ends.
    pub(crate) async fn ping(&self) -> Result<(), CallError> {
        let request = redis::cmd("PING").get_packed_command();
        self.ask(request, vec![AwaitedReply::Pong]).await
    }

    /// Checks that the server answers and is still a primary: a demoted one may keep its connections.
    pub(crate) async fn check_primary(&self) -> Result<(), CallError> {
        let request = redis::cmd("ROLE").get_packed_command();
        self.ask(request, vec![AwaitedReply::Role]).await
    }

    /// Waits for the end of the connection, and returns its cause.
    pub(crate) async fn closed(&self) -> String {
        let mut ended = self.ended.clone();
        let reason = ended.wait_for(Option::is_some).await;
        reason.ok().and_then(|reason| reason.clone()).unwrap_or_else(|| "the connection has ended".to_owned())
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    async fn change(&self, name: &str, kind: PushKind, channels: &[impl AsRef<[u8]>]) -> Result<(), CallError> {
        // All names in a sharded command must have one slot.
        let is_sharded = matches!(kind, PushKind::SSubscribe | PushKind::SUnsubscribe);
        let names_per_command = if is_sharded { 1 } else { NAMES_MAX };
        for batch in channels.chunks(NAMES_MAX) {
            let mut request = Vec::new();
            let mut awaited = Vec::new();
            for names in batch.chunks(names_per_command) {
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

    /// Sends packed commands and waits for all of their replies.
    async fn ask(&self, request: Vec<u8>, awaited: Vec<AwaitedReply>) -> Result<(), CallError> {
        let answered = async {
            let Ok(permit) = self.requests.reserve().await else { return Err(self.lost()) };
            // Done together, so that the order here is the order on the wire.
            let answers = self.pending.push(awaited, || permit.send(request));
            let mut all = Ok(());
            for answer in answers {
                let answer = answer.await.unwrap_or_else(|_| Err(self.lost()));
                all = all.and(answer);
            }
            all
        };
        match timeout(self.reply_timeout, answered).await {
            Ok(answered) => answered,
            Err(_) => {
                let reason = format!("{}: no reply within {:?}", self.address, self.reply_timeout);
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

/// Ends the connection when the task that owns this ends.
struct TaskGuard(Arc<PendingReplies>);

impl Drop for TaskGuard {
    fn drop(&mut self) {
        self.0.end("a task of the connection ended");
    }
}

/// Passes a push to the closure before it wakes the caller that waits for a confirmation: the push precedes what is
/// published after it.
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

/// The most names sent at once. They are confirmed before the next are sent.
const NAMES_MAX: usize = 512;

/// The most requests queued to be written. More wait.
const REQUESTS_MAX: usize = 16;

#[cfg(test)]
mod tests;
