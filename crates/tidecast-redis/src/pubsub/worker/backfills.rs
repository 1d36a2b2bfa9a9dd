//! The backfills of one connection: waiting, running, and to be retried.

use std::{future::pending, mem, sync::Arc};

use tokio::{task::JoinSet, time::sleep};

use crate::{
    commands::ListenTarget,
    error::CallError,
    pubsub::context::BrokerContext,
    pubsub::{
        backfill::{CHANNELS_PER_BATCH, backfill},
        backfill_queue::BackfillQueue,
        connection::PubSubConnection,
        subscriptions::BackfillTask,
    },
};

/// The most batches in flight at one node, each a pipeline of up to [`CHANNELS_PER_BATCH`] channels.
const BATCHES_IN_FLIGHT_MAX: usize = 8;

/// A scheduler of backfills. Dropping it aborts all of them; the next connection backfills every channel again.
#[derive(Debug)]
pub(super) struct Backfills {
    /// By node; `None` outside of a Cluster, and if no node has the slot.
    queue: BackfillQueue<Option<ListenTarget>, BackfillTask>,
    /// Each returns its node and the tasks that failed.
    running: JoinSet<(Option<ListenTarget>, Vec<BackfillTask>)>,
    /// Failed tasks, each group until its pause is over.
    delayed: JoinSet<Vec<BackfillTask>>,
    due: Vec<BackfillTask>,
}

impl Backfills {
    pub(super) fn new() -> Self {
        Self {
            queue: BackfillQueue::new(CHANNELS_PER_BATCH, BATCHES_IN_FLIGHT_MAX),
            running: JoinSet::new(),
            delayed: JoinSet::new(),
            due: Vec::new(),
        }
    }

    /// Waits for a batch to end or for the pause of failed tasks to be over. Call [`start`](Self::start) then.
    ///
    /// # Errors
    ///
    /// Fails if a batch panicked: only a new connection backfills its channels.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(super) async fn progress(&mut self) -> Result<(), CallError> {
        tokio::select! {
            Some(ended) = self.running.join_next() => {
                let (target, failed) = ended.map_err(|_| CallError::Protocol("a backfill panicked".to_owned()))?;
                self.queue.batch_done(&target);
                self.delay(failed);
            }
            Some(due) = self.delayed.join_next() => {
                self.due.extend(due.map_err(|_| CallError::Protocol("a backfill's pause panicked".to_owned()))?);
            }
            else => pending().await,
        }
        Ok(())
    }

    /// Starts new tasks and those that are due, as far as the bound of each node allows.
    pub(super) fn start(
        &mut self,
        context: &Arc<BrokerContext>,
        connection: &Arc<PubSubConnection>,
        new: Vec<BackfillTask>,
    ) {
        let is_cluster = context.config.is_cluster();
        for task in mem::take(&mut self.due).into_iter().chain(new) {
            let key = context.keys.channel(&task.channel).meta;
            let target = is_cluster.then(|| context.commands.target_of(key.as_bytes())).flatten();
            self.queue.push(target, task);
        }
        while let Some((target, batch)) = self.queue.next_batch() {
            let (context, connection) = (context.clone(), connection.clone());
            self.running.spawn(async move { (target, backfill(context, &connection, batch).await) });
        }
    }

    fn delay(&mut self, mut failed: Vec<BackfillTask>) {
        let pauses = failed.iter_mut().map(|task| task.backoff.after_failure(fastrand::f64()));
        if let Some(pause) = pauses.max() {
            self.delayed.spawn(async move {
                sleep(pause).await;
                failed
            });
        }
    }
}
