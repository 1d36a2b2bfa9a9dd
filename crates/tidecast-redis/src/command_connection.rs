//! A connection for commands to one server.
//!
//! The redis crate's multiplexed connection encodes and pipelines commands. This adds the transport, a driver task that
//! ends with its owner, and a count of replies. It does not reconnect; `node` does.

use std::{
    fmt, io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::{Either, FutureExt, select};
use redis::{
    AsyncConnectionConfig, Cmd, Pipeline, RedisConnectionInfo, RedisResult, Value, aio::MultiplexedConnection,
};
use tokio::{sync::watch, task::AbortHandle};

use crate::{address::Address, error::CallError, reply, transport::Transport};

/// The most commands queued for the driver, so that it writes many at once. More wait.
const QUEUE_MAX: usize = 256;

/// A connection for commands. Dropping it closes the socket, and fails the calls that wait for a reply.
pub(crate) struct CommandConnection {
    pub(crate) address: Address,
    multiplexed: MultiplexedConnection,
    driver: AbortHandle,
    ended: Arc<watch::Sender<bool>>,
    replies: AtomicU64,
}

impl CommandConnection {
    /// Logs in over a transport, and starts the driver.
    pub(crate) async fn log_in(
        address: Address,
        transport: Transport,
        info: &RedisConnectionInfo,
    ) -> Result<Self, CallError> {
        let (multiplexed, driver) = MultiplexedConnection::new_with_config(info, transport, settings())
            .await
            .map_err(|error| reply::login_error(&address, &error))?;
        let ended = Arc::new(watch::Sender::new(false));
        let driver = tokio::spawn({
            // Dropped as well if the runtime ends.
            let guard = DriverGuard(Arc::clone(&ended));
            async move {
                driver.await;
                drop(guard);
            }
        });
        Ok(Self { address, multiplexed, driver: driver.abort_handle(), ended, replies: AtomicU64::new(0) })
    }

    /// Sends a command. An error reply is `Ok` with a [`Value::ServerError`].
    ///
    /// # Cancel safety
    ///
    /// A command whose future is dropped may still be executed. Its reply is discarded.
    pub(crate) async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        self.until_ended(self.multiplexed.clone().send_packed_command(command)).await
    }

    /// Sends a pipeline. Returns one reply for each command, or the error that lost all of them.
    pub(crate) async fn send_all(&self, commands: &Pipeline, count: usize) -> RedisResult<Vec<Value>> {
        self.until_ended(self.multiplexed.clone().send_packed_commands(commands, 0, count)).await
    }

    pub(crate) fn is_alive(&self) -> bool {
        !*self.ended.borrow()
    }

    /// Returns the number of replies received so far.
    pub(crate) fn replies(&self) -> u64 {
        self.replies.load(Ordering::Relaxed)
    }

    /// Closes the socket. Calls that wait for a reply fail.
    pub(crate) fn close(&self) {
        self.ended.send_replace(true);
        self.driver.abort();
    }

    /// Waits for a reply or the end of the connection: a command that is queued just as the driver ends is never answered.
    async fn until_ended<T>(&self, reply: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
        let mut ended = self.ended.subscribe();
        let (reply, ended) = (pin!(reply), pin!(ended.wait_for(|ended| *ended)));
        let reply = match select(reply, ended).await {
            Either::Left((reply, _)) => reply,
            // The reply may have come in between.
            Either::Right((_, reply)) => {
                reply.now_or_never().unwrap_or_else(|| Err(io::Error::from(io::ErrorKind::BrokenPipe).into()))
            }
        }?;
        self.replies.fetch_add(1, Ordering::Relaxed);
        Ok(reply)
    }
}

impl Drop for CommandConnection {
    fn drop(&mut self) {
        self.close();
    }
}

/// Marks the connection as ended when it is dropped.
struct DriverGuard(Arc<watch::Sender<bool>>);

impl Drop for DriverGuard {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

impl fmt::Debug for CommandConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("address", &self.address).field("alive", &self.is_alive()).finish()
    }
}

/// Disables the time-outs of the redis crate: a call's deadline covers more than the reply.
fn settings() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_response_timeout(None::<Duration>)
        .set_connection_timeout(None::<Duration>)
        .set_pipeline_buffer_size(QUEUE_MAX)
}
