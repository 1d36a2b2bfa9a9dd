//! Tries a call until it is executed, rejected, out of time, or may have been executed without a reply.
//!
//! A call that may have reached a server is sent again only if the reply proves that it was not executed, or if executing
//! it twice does no harm.

use std::{sync::Arc, time::Duration};

use redis::{Cmd, RedisResult, Value};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{key_router::KeyRouter, node::RedisNode, request::CommandRequest};
use crate::{
    address::Address, backoff::Backoff, command_connection::CommandConnection, error::CallError, reply::ReplyOutcome,
    topology::slot_map::parse_redirection,
};

/// A call under way.
pub(super) struct Attempts<'a> {
    router: &'a KeyRouter,
    request: &'a CommandRequest<'a>,
    deadline: Instant,
    backoff: Backoff,
    redirections: u32,
    /// One of the attempts may have been executed.
    maybe_executed: bool,
    /// A server was demoted, so a new primary is waited for.
    demoted: bool,
    with_source: bool,
    /// The node to which the last reply redirected this call only.
    asking: Option<Address>,
}

/// The outcome of one attempt.
enum AttemptOutcome {
    Reply(ReplyOutcome, Arc<RedisNode>, Arc<CommandConnection>),
    /// There was no connection, so nothing was sent.
    NotSent(CallError),
    /// The connection was lost, or no reply came in time.
    Lost(String),
}

impl<'a> Attempts<'a> {
    pub(super) fn new(router: &'a KeyRouter, request: &'a CommandRequest<'a>, deadline: Instant) -> Self {
        Self {
            router,
            request,
            deadline,
            backoff: RETRIES,
            redirections: 0,
            maybe_executed: false,
            demoted: false,
            with_source: false,
            asking: None,
        }
    }

    /// Sends the script's source at once, because the server does not know the script.
    pub(super) fn with_source(mut self) -> Self {
        self.with_source = true;
        self
    }

    /// Takes an earlier attempt, in a batch, into account.
    pub(super) fn after(mut self, maybe_executed: bool) -> Self {
        self.maybe_executed = maybe_executed;
        self
    }

    pub(super) async fn run(mut self) -> Result<Value, CallError> {
        loop {
            match self.attempt().await {
                AttemptOutcome::Reply(outcome, node, connection) => {
                    if let Some(done) = self.handle_reply(outcome, &node, &connection).await {
                        return done.map_err(|error| self.with_doubt(error));
                    }
                }
                AttemptOutcome::NotSent(error) => {
                    self.handle_unreachable(error).await.map_err(|error| self.with_doubt(error))?;
                }
                AttemptOutcome::Lost(reason) => {
                    self.maybe_executed = true;
                    if !self.request.repeatable() || Instant::now() >= self.deadline {
                        return Err(CallError::maybe_executed(reason));
                    }
                    self.pause(reason).await.map_err(|error| self.with_doubt(error))?;
                }
            }
        }
    }

    async fn attempt(&mut self) -> AttemptOutcome {
        let asking = self.asking.take();
        let node = match &asking {
            Some(address) => self.router.node_at(address),
            None => match self.router.node_of(self.request.key(), self.deadline).await {
                Ok(node) => node,
                Err(error) => return AttemptOutcome::NotSent(error),
            },
        };
        // Held until the reply arrives.
        let _permit = match node.permits(1, self.deadline).await {
            Ok(permit) => permit,
            Err(error) => return AttemptOutcome::NotSent(error),
        };
        let connection = match node.connection(self.deadline).await {
            Ok(connection) => connection,
            Err(error) => return AttemptOutcome::NotSent(error),
        };
        let command = self.request.command(self.with_source);
        match send(&node, &connection, &command, asking.is_some(), self.deadline).await {
            Ok(reply) => AttemptOutcome::Reply(ReplyOutcome::from(reply), node, connection),
            Err(reason) => AttemptOutcome::Lost(reason),
        }
    }

    /// Returns the result, unless another attempt is due.
    async fn handle_reply(
        &mut self,
        outcome: ReplyOutcome,
        node: &Arc<RedisNode>,
        connection: &Arc<CommandConnection>,
    ) -> Option<Result<Value, CallError>> {
        match outcome {
            ReplyOutcome::NoScript if !self.with_source && self.request.script().is_some() => {
                self.with_source = true;
                None
            }
            ReplyOutcome::Moved { .. } | ReplyOutcome::Ask { .. } => {
                self.redirect(outcome, connection).await.err().map(Err)
            }
            ReplyOutcome::Unavailable(message) => self.pause(message).await.err().map(Err),
            ReplyOutcome::NotPrimary(message) => {
                self.demoted = true;
                node.drop_connection(connection);
                self.router.refresh_in_background();
                self.pause(message).await.err().map(Err)
            }
            ReplyOutcome::Rejected(message) => {
                // The login is no longer valid. A new connection logs in again.
                if message.starts_with("NOAUTH") || message.starts_with("WRONGPASS") {
                    node.drop_connection(connection);
                }
                Some(Err(CallError::Rejected(message)))
            }
            outcome => Some(outcome.into_result()),
        }
    }

    async fn redirect(&mut self, outcome: ReplyOutcome, connection: &CommandConnection) -> Result<(), CallError> {
        let (ReplyOutcome::Moved { node, .. } | ReplyOutcome::Ask { node }) = &outcome else { return Ok(()) };
        let address = parse_redirection(node, &connection.address)
            .ok_or_else(|| CallError::Protocol(format!("redirected to {node:?}, which is not an address")))?;
        let known = match outcome {
            ReplyOutcome::Moved { slot, .. } => self.router.moved(slot, &address),
            _ => self.router.is_cluster(),
        };
        if !known {
            return Err(CallError::Protocol(format!(
                "{} is a node of a Cluster: use redis+cluster://",
                connection.address
            )));
        }
        // `MOVED` has changed the map. `ASK` holds for this call only.
        if !matches!(outcome, ReplyOutcome::Moved { .. }) {
            self.asking = Some(address);
        }
        self.redirections += 1;
        if self.redirections > REDIRECTIONS_AT_ONCE {
            return self.pause("the nodes of the Cluster disagree about the slot".to_owned()).await;
        }
        Ok(())
    }

    /// Waits for another node if that may help: in a Cluster, where another may take over the slots, and after the primary
    /// was demoted. Otherwise returns the error at once.
    async fn handle_unreachable(&mut self, error: CallError) -> Result<(), CallError> {
        let is_unavailable = matches!(error, CallError::Unavailable { .. });
        if !is_unavailable || !(self.demoted || self.router.is_cluster()) {
            return Err(error);
        }
        self.router.refresh(self.deadline).await.map_err(|_| error.clone())?;
        self.pause(error.reason().to_owned()).await
    }

    /// Waits for a moment. Fails with the reason if the deadline is earlier.
    async fn pause(&mut self, reason: String) -> Result<(), CallError> {
        let until = Instant::now() + self.backoff.after_failure(fastrand::f64()).max(PAUSE_MIN);
        if until >= self.deadline {
            return Err(CallError::unavailable(reason));
        }
        sleep_until(until).await;
        Ok(())
    }

    /// Adds to an error that an earlier attempt may have been executed.
    fn with_doubt(&self, error: CallError) -> CallError {
        match error {
            CallError::Unavailable { reason, .. } if self.maybe_executed => CallError::maybe_executed(reason),
            error => error,
        }
    }
}

/// Sends a command and waits for the reply. After an error, the command may have been executed.
async fn send(
    node: &RedisNode,
    connection: &Arc<CommandConnection>,
    command: &Cmd,
    asking: bool,
    deadline: Instant,
) -> Result<Value, String> {
    let reply = async {
        if !asking {
            return connection.send(command).await;
        }
        let mut both = redis::pipe();
        both.cmd("ASKING").add_command(command.clone());
        let replies: RedisResult<Vec<Value>> = connection.send_all(&both, 2).await;
        Ok(replies?.pop().unwrap_or(Value::Nil))
    };
    await_reply(node, connection, deadline, reply).await
}

/// Waits for a reply until the deadline. Drops a connection that is lost or silent.
pub(super) async fn await_reply<T>(
    node: &RedisNode,
    connection: &Arc<CommandConnection>,
    deadline: Instant,
    reply: impl Future<Output = RedisResult<T>>,
) -> Result<T, String> {
    let (sent, replies) = (Instant::now(), connection.replies());
    match timeout_at(deadline, reply).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(error)) => {
            node.drop_connection(connection);
            Err(format!("{}: {error}", connection.address))
        }
        Err(_) => {
            let waited = sent.elapsed();
            // A command that waited long in the queue proves nothing about the connection.
            if connection.replies() == replies && waited >= node.reply_silence_max() {
                node.drop_connection(connection);
            }
            Err(format!("{}: no reply within {waited:?}", connection.address))
        }
    }
}

/// The most redirections followed without a pause.
const REDIRECTIONS_AT_ONCE: u32 = 4;

/// The pauses after replies that the node cannot serve the call now.
const RETRIES: Backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(320));
const PAUSE_MIN: Duration = Duration::from_millis(5);
