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

use self::pending::{Awaited, Waiting};
use crate::{
    connection::{Connector, Expected, check, questions},
    error::Failure,
    reply::Verdict,
    socket::{Address, Socket},
};

/// See the module. Dropping it closes the socket.
pub(crate) struct ListenConnection {
    address: Address,
    waiting: Arc<Waiting>,
    requests: mpsc::Sender<Vec<u8>>,
    ended: watch::Receiver<Option<String>>,
    reader: AbortHandle,
    writer: AbortHandle,
    answer_max: Duration,
}

/// What is called with each push.
pub(crate) type OnPush = Arc<dyn Fn(PushInfo) + Send + Sync>;

impl ListenConnection {
    /// Connects and begins to read. The caller puts a deadline on it.
    pub(crate) async fn open(
        connector: &Connector,
        address: &Address,
        expected: Expected,
        on_push: OnPush,
    ) -> Result<Self, Failure> {
        let (mut read, mut write) = split(connector.open(address).await?);
        // What it holds at the end of the greeting may be the beginning of what follows, so it goes on to the reader.
        let mut decoder = Default::default();
        let lost = |error: &dyn fmt::Display| Failure::not_done(format!("{address}: {error}"));

        let questions = questions(&connector.config.client_name);
        let mut greeting = hello(connector, expected).get_packed_command();
        greeting.extend(questions.get_packed_pipeline());
        write.write_all(&greeting).await.map_err(|error| lost(&error))?;
        write.flush().await.map_err(|error| lost(&error))?;
        let mut answers = Vec::with_capacity(1 + questions.len());
        for _ in 0..=questions.len() {
            answers.push(parse_redis_value_async(&mut decoder, &mut read).await.map_err(|error| lost(&error))?);
        }
        match Verdict::from(answers.remove(0)) {
            Verdict::Done(_) => {}
            Verdict::Later(words) | Verdict::Demoted(words) => return Err(Failure::not_done(words)),
            Verdict::Refused(words) => return Err(Failure::Refused(words)),
            other => {
                return Err(Failure::Refused(format!(
                    "{address} does not speak RESP3, so it is no Redis 6: {other:?}"
                )));
            }
        }
        check(address, expected, &answers)?;

        let (tell_ended, ended) = watch::channel(None);
        let waiting = Arc::new(Waiting::new(tell_ended));
        let (requests, to_write) = mpsc::channel(REQUESTS_MAX);
        let writer = tokio::spawn(write_requests(write, to_write, Arc::clone(&waiting)));
        let reader = tokio::spawn({
            let waiting = Arc::clone(&waiting);
            async move {
                // Also where the closure panics: the listener must not believe that it still hears.
                let _ends = Ends(Arc::clone(&waiting));
                loop {
                    match parse_redis_value_async(&mut decoder, &mut read).await {
                        Ok(Value::Push { kind, data }) => take_push(kind, data, &waiting, &on_push),
                        Ok(reply) => waiting.reply_came(reply),
                        Err(error) => return waiting.end(&error.to_string()),
                    }
                }
            }
        });
        Ok(Self {
            address: address.clone(),
            waiting,
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
    pub(crate) async fn subscribe(&self, channels: &[impl AsRef<[u8]>]) -> Result<(), Failure> {
        self.change("SUBSCRIBE", PushKind::Subscribe, channels).await
    }

    pub(crate) async fn unsubscribe(&self, channels: &[impl AsRef<[u8]>]) -> Result<(), Failure> {
        self.change("UNSUBSCRIBE", PushKind::Unsubscribe, channels).await
    }

    /// Subscribes to all channels that match a pattern.
    pub(crate) async fn psubscribe(&self, patterns: &[impl AsRef<[u8]>]) -> Result<(), Failure> {
        self.change("PSUBSCRIBE", PushKind::PSubscribe, patterns).await
    }

    /// The same for sharded channels, which may be of different slots.
    pub(crate) async fn ssubscribe(&self, channels: &[impl AsRef<[u8]>]) -> Result<(), Failure> {
        self.change("SSUBSCRIBE", PushKind::SSubscribe, channels).await
    }

    pub(crate) async fn sunsubscribe(&self, channels: &[impl AsRef<[u8]>]) -> Result<(), Failure> {
        self.change("SUNSUBSCRIBE", PushKind::SUnsubscribe, channels).await
    }

    /// Whether the server still answers, within the probe's timeout. If not, the connection is at its end.
    pub(crate) async fn ping(&self) -> Result<(), Failure> {
        let request = redis::cmd("PING").get_packed_command();
        self.ask(request, vec![Awaited::Pong]).await
    }

    /// The same, and whether it is still a primary: one that was made a replica may keep its connections.
    pub(crate) async fn check_primary(&self) -> Result<(), Failure> {
        let request = redis::cmd("ROLE").get_packed_command();
        self.ask(request, vec![Awaited::Role]).await
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

    async fn change(&self, name: &str, kind: PushKind, channels: &[impl AsRef<[u8]>]) -> Result<(), Failure> {
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
                awaited.push(Awaited::Confirmations { kind: kind.clone(), names });
            }
            self.ask(request, awaited).await?;
        }
        Ok(())
    }

    /// Sends what is packed and waits for all that is to come of it.
    async fn ask(&self, request: Vec<u8>, awaited: Vec<Awaited>) -> Result<(), Failure> {
        let answered = async {
            let Ok(permit) = self.requests.reserve().await else { return Err(self.lost()) };
            // Both in one go, so that nobody else's request comes between the order here and the order on the wire.
            let answers = self.waiting.push(awaited, || permit.send(request));
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
                self.waiting.end(&reason);
                self.reader.abort();
                self.writer.abort();
                Err(Failure::maybe_done(reason))
            }
        }
    }

    fn lost(&self) -> Failure {
        let reason = self.ended.borrow().clone().unwrap_or_else(|| "the connection has ended".to_owned());
        Failure::maybe_done(format!("{}: {reason}", self.address))
    }
}

impl Drop for ListenConnection {
    fn drop(&mut self) {
        self.reader.abort();
        self.writer.abort();
    }
}

impl fmt::Debug for ListenConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenConnection")
            .field("address", &self.address)
            .field("ended", &*self.ended.borrow())
            .finish()
    }
}

/// Whatever ends the task that has it, ends the connection for all.
struct Ends(Arc<Waiting>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.end("the connection was given up");
    }
}

/// The closure hears of it before whoever waits for a confirmation, as it comes before what is published after it.
fn take_push(kind: PushKind, data: Vec<Value>, waiting: &Waiting, on_push: &OnPush) {
    let name = match data.first() {
        Some(Value::BulkString(name)) if waiting.is_confirmation(&kind) => Some((kind.clone(), name.clone())),
        _ => None,
    };
    on_push(PushInfo { kind, data });
    if let Some((kind, name)) = name {
        waiting.confirmation_came(&kind, &name);
    }
}

async fn write_requests(mut write: WriteHalf<Socket>, mut requests: mpsc::Receiver<Vec<u8>>, waiting: Arc<Waiting>) {
    let _ends = Ends(Arc::clone(&waiting));
    while let Some(request) = requests.recv().await {
        let written = async {
            write.write_all(&request).await?;
            write.flush().await
        };
        if let Err(error) = written.await {
            return waiting.end(&error.to_string());
        }
    }
}

fn hello(connector: &Connector, expected: Expected) -> Cmd {
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
