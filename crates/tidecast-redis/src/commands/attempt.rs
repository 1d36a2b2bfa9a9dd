//! One call, tried until it is done, refused, out of time, or may have been done without our hearing of it.
//!
//! The rule: what may have reached a server is sent again only if the reply proves that it was not executed, or if
//! doing it twice does no harm. `commands` has the calls, `reply` knows the proofs, `node` the connections.

use std::{sync::Arc, time::Duration};

use redis::{Cmd, RedisResult, Value};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{node::Node, request::Request, router::Route};
use crate::{
    backoff::Backoff, connection::Connection, error::Failure, reply::Verdict, socket::Address,
    topology::cluster::redirected,
};

/// A call under way.
pub(super) struct Attempts<'a> {
    route: &'a Route,
    request: &'a Request<'a>,
    deadline: Instant,
    pauses: Backoff,
    redirections: u32,
    /// Whether one of the attempts may have been done.
    maybe_done: bool,
    /// Whether a server said that it is a replica now: then a primary is waited for, not only looked for.
    demoted: bool,
    with_source: bool,
    /// Where the last reply sent us, once.
    asking: Option<Address>,
}

/// How one attempt went.
enum Tried {
    Verdict(Verdict, Arc<Node>, Arc<Connection>),
    /// There is no connection to the node, so nothing was sent.
    NotSent(Failure),
    /// The connection was lost, or nothing came on it.
    Lost(String),
}

impl<'a> Attempts<'a> {
    pub(super) fn new(route: &'a Route, request: &'a Request<'a>, deadline: Instant) -> Self {
        Self {
            route,
            request,
            deadline,
            pauses: PAUSES,
            redirections: 0,
            maybe_done: false,
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
    pub(super) fn after(mut self, maybe_done: bool) -> Self {
        self.maybe_done = maybe_done;
        self
    }

    pub(super) async fn run(mut self) -> Result<Value, Failure> {
        loop {
            match self.attempt().await {
                Tried::Verdict(verdict, node, connection) => {
                    if let Some(done) = self.judge(verdict, &node, &connection).await {
                        return done.map_err(|failure| self.told(failure));
                    }
                }
                Tried::NotSent(failure) => self.look_elsewhere(failure).await.map_err(|failure| self.told(failure))?,
                Tried::Lost(reason) => {
                    self.maybe_done = true;
                    if !self.request.repeatable() || Instant::now() >= self.deadline {
                        return Err(Failure::maybe_done(reason));
                    }
                    self.pause(reason).await.map_err(|failure| self.told(failure))?;
                }
            }
        }
    }

    async fn attempt(&mut self) -> Tried {
        let asking = self.asking.take();
        let node = match &asking {
            Some(address) => self.route.node_at(address),
            None => match self.route.node_of(self.request.key(), self.deadline).await {
                Ok(node) => node,
                Err(failure) => return Tried::NotSent(failure),
            },
        };
        // Held until the reply is there.
        let _permit = match node.permits(1, self.deadline).await {
            Ok(permit) => permit,
            Err(failure) => return Tried::NotSent(failure),
        };
        let connection = match node.connection(self.deadline).await {
            Ok(connection) => connection,
            Err(failure) => return Tried::NotSent(failure),
        };
        let command = self.request.command(self.with_source);
        match send(&node, &connection, &command, asking.is_some(), self.deadline).await {
            Ok(reply) => Tried::Verdict(Verdict::from(reply), node, connection),
            Err(reason) => Tried::Lost(reason),
        }
    }

    /// The result, unless another attempt is due.
    async fn judge(
        &mut self,
        verdict: Verdict,
        node: &Arc<Node>,
        connection: &Arc<Connection>,
    ) -> Option<Result<Value, Failure>> {
        match verdict {
            Verdict::Done(value) => return Some(Ok(value)),
            Verdict::Refused(words) => {
                // The login is no longer good: a new connection finds out what is.
                if words.starts_with("NOAUTH") || words.starts_with("WRONGPASS") {
                    node.drop_connection(connection);
                }
                return Some(Err(Failure::Refused(words)));
            }
            Verdict::Broken(words) => return Some(Err(Failure::Broken(words))),
            Verdict::UnknownScript if self.with_source || self.request.script().is_none() => {
                return Some(Err(Failure::Broken("NOSCRIPT inside a script".to_owned())));
            }
            Verdict::UnknownScript => self.with_source = true,
            Verdict::Moved { .. } | Verdict::Ask { .. } => {
                let Err(failure) = self.redirect(verdict, connection).await else { return None };
                return Some(Err(failure));
            }
            Verdict::Later(words) => return self.pause(words).await.err().map(Err),
            Verdict::Demoted(words) => {
                self.demoted = true;
                node.drop_connection(connection);
                self.route.refresh_in_background();
                return self.pause(words).await.err().map(Err);
            }
        }
        None
    }

    async fn redirect(&mut self, verdict: Verdict, connection: &Connection) -> Result<(), Failure> {
        let (Verdict::Moved { node, .. } | Verdict::Ask { node }) = &verdict else { return Ok(()) };
        let address = redirected(node, &connection.address)
            .ok_or_else(|| Failure::Broken(format!("a redirection to {node:?}, which is no node")))?;
        let known = match verdict {
            Verdict::Moved { slot, .. } => self.route.moved(slot, &address),
            _ => self.route.is_cluster(),
        };
        if !known {
            return Err(Failure::Broken(format!(
                "{} is a node of a Cluster: use redis+cluster://",
                connection.address
            )));
        }
        // `MOVED` has changed the map; `ASK` is for this one time.
        if !matches!(verdict, Verdict::Moved { .. }) {
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
    async fn look_elsewhere(&mut self, failure: Failure) -> Result<(), Failure> {
        let away = matches!(failure, Failure::Away { .. });
        if !away || !(self.demoted || self.route.is_cluster()) {
            return Err(failure);
        }
        self.route.refresh(self.deadline).await.map_err(|_| failure.clone())?;
        self.pause(failure.reason().to_owned()).await
    }

    /// Waits for a moment; fails with the reason if there is no time for it.
    async fn pause(&mut self, reason: String) -> Result<(), Failure> {
        let until = Instant::now() + self.pauses.after_failure(fastrand::f64()).max(PAUSE_MIN);
        if until >= self.deadline {
            return Err(Failure::not_done(reason));
        }
        sleep_until(until).await;
        Ok(())
    }

    /// Whatever ended the last attempt, an earlier one may have been done.
    fn told(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Away { reason, .. } if self.maybe_done => Failure::maybe_done(reason),
            failure => failure,
        }
    }
}

/// Sends it and waits for the reply. The error says why there is none; whether the server has done it is not known then.
async fn send(
    node: &Node,
    connection: &Arc<Connection>,
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
    watched(node, connection, deadline, reply).await
}

/// Waits for a reply until the deadline; gives the connection up where it is lost, or silent.
pub(super) async fn watched<T>(
    node: &Node,
    connection: &Arc<Connection>,
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
            if connection.replies() == replies && waited >= node.silence_max() {
                node.drop_connection(connection);
            }
            Err(format!("{}: no reply within {waited:?}", connection.address))
        }
    }
}

/// How many redirections are followed without a pause.
const REDIRECTIONS_AT_ONCE: u32 = 4;

/// Between attempts that a server answered with "not now".
const PAUSES: Backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(320));
const PAUSE_MIN: Duration = Duration::from_millis(5);
