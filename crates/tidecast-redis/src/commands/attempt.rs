//! One call, tried until it is done, refused, out of time, or may have been done without our hearing of it.
//!
//! The rule: what may have reached a server is sent again only if the reply proves that it was not executed, or if
//! doing it twice does no harm. `commands` has the calls, `reply` knows the proofs, `node` the connections.

use std::{sync::Arc, time::Duration};

use redis::{Cmd, RedisResult, Value};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{node::RedisNode, request::Request, router::Router};
use crate::{
    address::Address, backoff::Backoff, connection::CommandConnection, error::CallError, reply::ReplyOutcome,
    topology::cluster::redirected,
};

/// A call under way.
pub(super) struct Attempts<'a> {
    router: &'a Router,
    request: &'a Request<'a>,
    deadline: Instant,
    backoff: Backoff,
    redirections: u32,
    /// Whether one of the attempts may have been done.
    maybe_executed: bool,
    /// Whether a server said that it is a replica now: then a primary is waited for, not only looked for.
    demoted: bool,
    with_source: bool,
    /// Where the last reply sent us, once.
    asking: Option<Address>,
}

/// How one attempt went.
enum AttemptOutcome {
    Reply(ReplyOutcome, Arc<RedisNode>, Arc<CommandConnection>),
    /// There is no connection to the node, so nothing was sent.
    NotSent(CallError),
    /// The connection was lost, or nothing came on it.
    Lost(String),
}

impl<'a> Attempts<'a> {
    pub(super) fn new(router: &'a Router, request: &'a Request<'a>, deadline: Instant) -> Self {
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

    /// The script's name is not tried first: for what a server said that it does not know.
    pub(super) fn with_source(mut self) -> Self {
        self.with_source = true;
        self
    }

    /// What came of an attempt that was made elsewhere is taken into account.
    pub(super) fn after(mut self, maybe_executed: bool) -> Self {
        self.maybe_executed = maybe_executed;
        self
    }

    pub(super) async fn run(mut self) -> Result<Value, CallError> {
        loop {
            match self.attempt().await {
                AttemptOutcome::Reply(outcome, node, connection) => {
                    if let Some(done) = self.handle_reply(outcome, &node, &connection).await {
                        return done.map_err(|failure| self.with_doubt(failure));
                    }
                }
                AttemptOutcome::NotSent(failure) => {
                    self.handle_unreachable(failure).await.map_err(|failure| self.with_doubt(failure))?
                }
                AttemptOutcome::Lost(reason) => {
                    self.maybe_executed = true;
                    if !self.request.repeatable() || Instant::now() >= self.deadline {
                        return Err(CallError::maybe_executed(reason));
                    }
                    self.pause(reason).await.map_err(|failure| self.with_doubt(failure))?;
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
                Err(failure) => return AttemptOutcome::NotSent(failure),
            },
        };
        // Held until the reply is there.
        let _permit = match node.permits(1, self.deadline).await {
            Ok(permit) => permit,
            Err(failure) => return AttemptOutcome::NotSent(failure),
        };
        let connection = match node.connection(self.deadline).await {
            Ok(connection) => connection,
            Err(failure) => return AttemptOutcome::NotSent(failure),
        };
        let command = self.request.command(self.with_source);
        match send(&node, &connection, &command, asking.is_some(), self.deadline).await {
            Ok(reply) => AttemptOutcome::Reply(ReplyOutcome::from(reply), node, connection),
            Err(reason) => AttemptOutcome::Lost(reason),
        }
    }

    /// The result, unless another attempt is due.
    async fn handle_reply(
        &mut self,
        outcome: ReplyOutcome,
        node: &Arc<RedisNode>,
        connection: &Arc<CommandConnection>,
    ) -> Option<Result<Value, CallError>> {
        match outcome {
            ReplyOutcome::Value(value) => return Some(Ok(value)),
            ReplyOutcome::Rejected(message) => {
                // The login is no longer good: a new connection finds out what is.
                if message.starts_with("NOAUTH") || message.starts_with("WRONGPASS") {
                    node.drop_connection(connection);
                }
                return Some(Err(CallError::Rejected(message)));
            }
            ReplyOutcome::Unexpected(message) => return Some(Err(CallError::Protocol(message))),
            ReplyOutcome::NoScript if self.with_source || self.request.script().is_none() => {
                return Some(Err(CallError::Protocol("NOSCRIPT inside a script".to_owned())));
            }
            ReplyOutcome::NoScript => self.with_source = true,
            ReplyOutcome::Moved { .. } | ReplyOutcome::Ask { .. } => {
                let Err(failure) = self.redirect(outcome, connection).await else { return None };
                return Some(Err(failure));
            }
            ReplyOutcome::Unavailable(message) => return self.pause(message).await.err().map(Err),
            ReplyOutcome::NotPrimary(message) => {
                self.demoted = true;
                node.drop_connection(connection);
                self.router.refresh_in_background();
                return self.pause(message).await.err().map(Err);
            }
        }
        None
    }

    async fn redirect(&mut self, outcome: ReplyOutcome, connection: &CommandConnection) -> Result<(), CallError> {
        let (ReplyOutcome::Moved { node, .. } | ReplyOutcome::Ask { node }) = &outcome else { return Ok(()) };
        let address = redirected(node, &connection.address)
            .ok_or_else(|| CallError::Protocol(format!("a redirection to {node:?}, which is no node")))?;
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
        // `MOVED` has changed the map; `ASK` is for this one time.
        if !matches!(outcome, ReplyOutcome::Moved { .. }) {
            self.asking = Some(address);
        }
        self.redirections += 1;
        if self.redirections > REDIRECTIONS_AT_ONCE {
            return self.pause("the nodes of the Cluster do not agree where the slot is".to_owned()).await;
        }
        Ok(())
    }

    /// The node can't be reached. In a Cluster another may have its slots by now, or will have soon; anywhere else
    /// nobody is kept waiting, except who saw the primary step down.
    async fn handle_unreachable(&mut self, failure: CallError) -> Result<(), CallError> {
        let away = matches!(failure, CallError::Unavailable { .. });
        if !away || !(self.demoted || self.router.is_cluster()) {
            return Err(failure);
        }
        self.router.refresh(self.deadline).await.map_err(|_| failure.clone())?;
        self.pause(failure.reason().to_owned()).await
    }

    /// Waits for a moment; fails with the reason if there is no time for it.
    async fn pause(&mut self, reason: String) -> Result<(), CallError> {
        let until = Instant::now() + self.backoff.after_failure(fastrand::f64()).max(PAUSE_MIN);
        if until >= self.deadline {
            return Err(CallError::unavailable(reason));
        }
        sleep_until(until).await;
        Ok(())
    }

    /// Whatever ended the last attempt, an earlier one may have been done.
    fn with_doubt(&self, failure: CallError) -> CallError {
        match failure {
            CallError::Unavailable { reason, .. } if self.maybe_executed => CallError::maybe_executed(reason),
            failure => failure,
        }
    }
}

/// Sends it and waits for the reply. The error says why there is none; whether the server has done it is not known then.
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

/// Waits for a reply until the deadline; gives the connection up where it is lost, or silent.
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
            // One that came to its turn late says nothing about the connection.
            if connection.replies() == replies && waited >= node.reply_silence_max() {
                node.drop_connection(connection);
            }
            Err(format!("{}: no reply within {waited:?}", connection.address))
        }
    }
}

/// How many redirections are followed without a pause.
const REDIRECTIONS_AT_ONCE: u32 = 4;

/// Between attempts that a server answered with "not now".
const RETRIES: Backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(320));
const PAUSE_MIN: Duration = Duration::from_millis(5);
