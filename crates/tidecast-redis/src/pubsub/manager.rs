//! Assigns channels to pub/sub workers: to the only one, or in a Cluster with sharded channels to one for each primary.
//!
//! When a slot moves, its channels are given to another worker. A worker lives until its node is no longer one of the
//! Cluster's primaries.

use std::{mem, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tidecast::Channel;
use tokio::{
    runtime::Handle,
    task::JoinHandle,
    time::{self, Instant},
};

use crate::{
    address::Address,
    commands::ListenTarget,
    config::{ChannelKind, Deployment},
    error::CallError,
    log_throttle::LogThrottle,
    pubsub::context::BrokerContext,
    pubsub::{sentinel_watch::watch, subscriptions::WorkerId, worker::PubSubWorker},
    supervise::{FailPoint, supervise},
};

/// How often the slots of a Cluster are fetched if nothing shows that one has moved.
const REFRESH_INTERVAL: Duration = Duration::from_secs(5);

/// The shortest pause between two fetches.
const REFRESH_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// The pub/sub workers of a broker, and the tasks that direct them.
#[derive(Debug)]
pub(crate) struct PubSubManager {
    context: Arc<BrokerContext>,
    runtime: Handle,
    tasks: Mutex<Tasks>,
}

#[derive(Debug, Default)]
struct Tasks {
    workers: Vec<WorkerHandle>,
    next_id: WorkerId,
    router: Option<JoinHandle<()>>,
    /// One for each Sentinel.
    sentinel_watches: Vec<JoinHandle<()>>,
    closed: bool,
}

#[derive(Debug)]
struct WorkerHandle {
    worker: Arc<PubSubWorker>,
    /// The node at which it listens; `None` follows the primary, or takes any node of a Cluster.
    target: Option<ListenTarget>,
    task: JoinHandle<()>,
}

impl PubSubManager {
    pub(crate) fn new(context: Arc<BrokerContext>, runtime: Handle) -> Arc<Self> {
        Arc::new(Self { context, runtime, tasks: Mutex::default() })
    }

    /// Starts the tasks that listen.
    pub(crate) fn start(self: &Arc<Self>) {
        if let Deployment::Sentinel { sentinels, service, .. } = &self.context.config.deployment {
            let watches = sentinels.iter().map(|sentinel| self.watch(sentinel.clone(), service.clone()));
            let watches: Vec<_> = watches.collect();
            self.tasks.lock().sentinel_watches = watches;
        }
        if self.context.config.channel_kind() == ChannelKind::Plain {
            self.add_worker(None);
            return;
        }
        let manager = self.clone();
        let router = self.runtime.spawn(async move {
            let restarts = &manager.context.subscriptions.counters.task_restarts;
            supervise("routing", restarts, || manager.keep_routing(), || {}).await;
        });
        self.tasks.lock().router = Some(router);
    }

    fn watch(&self, sentinel: Address, service: String) -> JoinHandle<()> {
        let context = self.context.clone();
        self.runtime.spawn(async move {
            let restarts = &context.subscriptions.counters.task_restarts;
            supervise("watching a sentinel", restarts, || watch(&context, &sentinel, &service), || {}).await;
        })
    }

    /// Stops all tasks for good.
    pub(crate) fn close(&self) {
        let mut tasks = self.tasks.lock();
        tasks.closed = true;
        tasks.sentinel_watches.drain(..).for_each(|watch| watch.abort());
        if let Some(router) = tasks.router.take() {
            router.abort();
        }
        for handle in tasks.workers.drain(..) {
            handle.task.abort();
        }
    }

    /// Subscribes to a channel.
    pub(crate) fn subscribe(&self, channel: &Channel) {
        let name = self.context.name(channel);
        let worker = self.worker_for(&name);
        if self.context.subscriptions.add(&name, channel, worker.as_ref().map(|worker| worker.id)) {
            match worker {
                Some(worker) => worker.subscribe(name),
                // The router finds a worker for it.
                None => self.context.connected.send_modify(|_| {}),
            }
        }
    }

    /// Unsubscribes from a channel, unless it has readers again.
    pub(crate) fn release(&self, channel: &Channel) {
        let name = self.context.name(channel);
        let Some(id) = self.context.subscriptions.remove(&name, channel) else { return };
        let worker = self.find_worker(|handle| handle.worker.id == id);
        if let Some(worker) = worker {
            worker.unsubscribe(name);
        }
    }

    fn find_worker(&self, is_it: impl Fn(&WorkerHandle) -> bool) -> Option<Arc<PubSubWorker>> {
        let tasks = self.tasks.lock();
        tasks.workers.iter().find(|handle| is_it(handle)).map(|handle| handle.worker.clone())
    }

    /// Returns the worker at the node that has the slot of a name, as far as is known.
    fn worker_for(&self, name: &[u8]) -> Option<Arc<PubSubWorker>> {
        if self.context.config.channel_kind() == ChannelKind::Plain {
            return self.find_worker(|_| true);
        }
        let target = self.context.commands.target_of(name)?;
        self.find_worker(|handle| handle.target.as_ref() == Some(&target))
    }

    fn add_worker(self: &Arc<Self>, target: Option<ListenTarget>) {
        let mut tasks = self.tasks.lock();
        if tasks.closed {
            return;
        }
        let worker = PubSubWorker::new(tasks.next_id, self.context.config.channel_kind());
        tasks.next_id += 1;
        let (manager, context) = (self.clone(), self.context.clone());
        let (running, fixed) = (worker.clone(), target.clone());
        let find_target = {
            let context = self.context.clone();
            async move || match &fixed {
                Some(target) => Ok(target.clone()),
                None => {
                    let any = context.commands.listen_targets(ChannelKind::Plain).await?.into_iter().next();
                    any.ok_or_else(|| CallError::unavailable("no primary is known"))
                }
            }
        };
        let task = self.runtime.spawn(async move {
            let on_change = || manager.update_connected();
            let on_end = || {
                running.stop(&context);
                on_change();
            };
            let restarts = &context.subscriptions.counters.task_restarts;
            supervise("listening", restarts, || running.listen(&context, &find_target, &on_change), on_end).await;
        });
        tasks.workers.push(WorkerHandle { worker, target, task });
    }

    /// Publishes whether all workers are connected.
    fn update_connected(&self) {
        // Read inside the closure: if two workers change at once, the later read is the one that stays.
        self.context.connected.send_if_modified(|before| {
            let tasks = self.tasks.lock();
            let connected =
                !tasks.workers.is_empty() && tasks.workers.iter().all(|handle| handle.worker.is_connected());
            mem::replace(before, connected) != connected
        });
    }

    /// Keeps a worker at each primary, and each name at the worker of the node that has its slot. Never returns.
    async fn keep_routing(self: &Arc<Self>) {
        let mut changes = self.context.connected.subscribe();
        let mut throttle = LogThrottle::default();
        loop {
            let started = Instant::now();
            self.context.fail_points.trip(FailPoint::Routing);
            // A change from here on starts another round.
            changes.mark_unchanged();
            match self.context.commands.listen_targets(ChannelKind::Sharded).await {
                Ok(targets) => {
                    throttle.reset();
                    self.keep_workers_at(targets);
                    self.route();
                    self.update_connected();
                }
                Err(error) => {
                    let reason = error.to_string();
                    if let Some(attempts) = throttle.record(&reason) {
                        tracing::warn!(reason, attempts, "redis: cannot find the primaries to listen at");
                    }
                }
            }
            let _ = time::timeout(REFRESH_INTERVAL, changes.changed()).await;
            time::sleep_until(started + REFRESH_INTERVAL_MIN).await;
        }
    }

    fn keep_workers_at(self: &Arc<Self>, targets: Vec<ListenTarget>) {
        let gone: Vec<_> = {
            let mut tasks = self.tasks.lock();
            let is_gone = |handle: &mut WorkerHandle| {
                handle.task.is_finished() || !handle.target.as_ref().is_some_and(|target| targets.contains(target))
            };
            tasks.workers.extract_if(.., is_gone).collect()
        };
        for handle in gone {
            handle.task.abort();
            self.context.subscriptions.disconnected(handle.worker.id);
        }
        for target in targets {
            if self.find_worker(|handle| handle.target.as_ref() == Some(&target)).is_none() {
                self.add_worker(Some(target));
            }
        }
    }

    fn route(&self) {
        let workers: Vec<_> = self.tasks.lock().workers.iter().map(|handle| handle.worker.clone()).collect();
        let moved: Vec<_> = workers.iter().flat_map(|worker| worker.take_moved()).collect();
        for (name, current) in self.context.subscriptions.names() {
            match self.worker_for(&name) {
                Some(worker) if Some(worker.id) != current || moved.contains(&name) => {
                    self.context.subscriptions.assign(&name, Some(worker.id));
                    worker.subscribe(name);
                }
                // No node has its slot now. A later round finds the node that gets it, even if that is the same one.
                None if current.is_some() => self.context.subscriptions.assign(&name, None),
                _ => {}
            }
        }
    }
}
