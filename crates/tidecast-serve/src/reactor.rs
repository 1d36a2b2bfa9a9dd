//! Reactors: threads that write the events of channels to the sockets of many streams.
//!
//! Here a stream that has left hyper is a socket and some hundred bytes. All streams of a reactor are behind one lock, which
//! its thread holds while it works and releases only to wait. Sockets are written to under that lock, which is bounded by
//! these rules:
//!
//! - No write waits, because no socket blocks.
//! - Only the thread itself waits for the lock, no longer than a publisher needs for [`DIRECT_READERS_MAX`] writes. Others try it; if it is taken, they leave a task in the queue, whose lock is held for a
//!   few instructions.
//! - Under it, only locks are taken under which no other lock is taken: those of a log, of the queue, of counters and slots.
//!
//! **The direct send**: a publisher to a channel that has few readers here, while the thread sleeps, writes to their sockets
//! itself. Waking the thread would cost more than the writes, and delay them.

mod chunk;
mod connections;
mod dispatcher;
mod entry;
#[cfg(test)]
mod fairness;
mod full_stream;
mod read_cache;
mod rounds;
mod slab;
mod task_queue;
mod timers;
mod wheel;

use std::{
    fmt, io,
    ops::ControlFlow,
    os::fd::OwnedFd,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use parking_lot::Mutex;
use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
};
use tidecast::internals::{GroupWaker, ReaderGroups};
use tokio::{runtime::Handle, sync::Notify};

use self::{
    dispatcher::Dispatcher,
    slab::Token,
    task_queue::{LiveCount, Queued, TaskQueue},
};
use crate::{
    counters::{ConnectionCounters, count},
    detach::Detached,
    options::ServeOptions,
    supervise::{SupervisedTask, Supervisor},
};

/// Most readers of a group that a publisher writes to itself.
const DIRECT_READERS_MAX: usize = 8;

/// Most events that are taken from the system at once.
const EVENTS_MAX: usize = 256;

/// The epoll data of the task queue. No token is 0.
const TASK_QUEUE: u64 = 0;

/// All reactors of a server.
#[derive(Debug)]
pub(crate) struct Reactors {
    all: Box<[Arc<Reactor>]>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    counters: Arc<ConnectionCounters>,
    /// Notified when a reactor has no stream left.
    emptied: Arc<Notify>,
}

struct Reactor {
    /// `None` before the thread has started and after it has ended.
    dispatcher: Mutex<Option<Dispatcher>>,
    live: Arc<LiveCount>,
    queue: Arc<TaskQueue>,
    epoll: Arc<OwnedFd>,
}

/// The next step of a reactor's thread after a turn.
enum Next {
    /// Waits for this long; `None` is for ever.
    Wait(Option<Duration>),
    End,
    Restart,
}

impl Reactors {
    /// Starts the reactors. To be called within a runtime, which brokers may need.
    pub(crate) fn start(
        options: &ServeOptions,
        counters: &Arc<ConnectionCounters>,
        tasks: &Supervisor,
    ) -> io::Result<Self> {
        let emptied = Arc::new(Notify::new());
        let mut all = Vec::with_capacity(options.reactors);
        let mut threads = Vec::with_capacity(options.reactors);
        for number in 0..options.reactors {
            let reactor = Arc::new(Reactor::new(emptied.clone())?);
            let (running, options, counters) = (reactor.clone(), options.clone(), counters.clone());
            let runtime = Handle::current();
            let task = tasks.add(format!("reactor-{number}"));
            let run = move || {
                let _entered = runtime.enter();
                running.run(&task, || running.dispatcher(&options, counters.clone()));
            };
            threads.push(std::thread::Builder::new().name(format!("reactor-{number}")).spawn(run)?);
            all.push(reactor);
        }
        Ok(Self { all: all.into(), threads: threads.into(), counters: counters.clone(), emptied })
    }

    /// Returns whether there are any. If not, streams stay with hyper.
    pub(crate) fn any(&self) -> bool {
        !self.all.is_empty()
    }

    /// Gives a stream to the reactor that has the fewest. Taking turns would not balance them, because streams last and end
    /// at any time.
    pub(crate) fn add(&self, detached: Detached) {
        let Some(reactor) = self.all.iter().min_by_key(|reactor| reactor.live.get()) else { return };
        count(&self.counters.detached);
        reactor.queue.push_detached(detached, reactor.live.add());
    }

    /// Ends every stream once it has all its events. The hub is closed, so no more come.
    pub(crate) fn close(&self) {
        for reactor in &self.all {
            reactor.queue.close();
        }
    }

    /// Waits until no stream is left.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub(crate) async fn wait_empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.streams() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// Returns how many streams there are.
    pub(crate) fn streams(&self) -> usize {
        self.all.iter().map(|reactor| reactor.live.get()).sum()
    }

    /// Cuts the streams that are left, and ends the threads.
    pub(crate) fn cut(&self) {
        for reactor in &self.all {
            reactor.queue.cut();
        }
        for thread in self.threads.lock().drain(..) {
            // A panic was logged when it happened.
            let _ = thread.join();
        }
    }
}

impl Reactor {
    fn new(emptied: Arc<Notify>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let queue = TaskQueue::new()?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, queue.eventfd(), epoll::EventData::new_u64(TASK_QUEUE), flags)?;
        Ok(Self {
            dispatcher: Mutex::new(None),
            live: LiveCount::new(emptied),
            queue: Arc::new(queue),
            epoll: Arc::new(epoll),
        })
    }

    fn dispatcher(self: &Arc<Self>, options: &ServeOptions, counters: Arc<ConnectionCounters>) -> Dispatcher {
        let groups = ReaderGroups::new(self.clone());
        Dispatcher::new(groups, self.epoll.clone(), self.queue.clone(), options, counters)
    }

    /// Serves until it is told to end. A panic costs the streams of this reactor, whose clients reconnect, and no others.
    fn run(&self, task: &SupervisedTask, dispatcher: impl Fn() -> Dispatcher) {
        task.run(|| {
            *self.dispatcher.lock() = Some(dispatcher());
            let result = catch_unwind(AssertUnwindSafe(|| self.serve(task)));
            self.drop_streams();
            result.unwrap_or(ControlFlow::Continue(()))
        });
    }

    /// Drops all streams, after the lock is released: their guards take locks of their own.
    fn drop_streams(&self) {
        let streams = self.dispatcher.lock().take();
        drop(streams);
    }

    /// Serves until it is told to end, or finds that a publisher's thread has panicked here.
    fn serve(&self, task: &SupervisedTask) -> ControlFlow<()> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let mut queued = Queued::default();
        loop {
            task.fault_point();
            let idle_time = match self.work(&mut events, &mut queued) {
                Next::Wait(idle_time) => idle_time,
                Next::End => return ControlFlow::Break(()),
                Next::Restart => return ControlFlow::Continue(()),
            };
            let timeout = idle_time.map(timespec);
            match epoll::wait(&*self.epoll, spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "a reactor failed to wait");
                    // Streams that wait for their sockets wait longer; the others go on.
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }

    /// Does one turn of work.
    fn work(&self, events: &mut Vec<epoll::Event>, queued: &mut Queued) -> Next {
        let mut guard = self.dispatcher.lock();
        let Some(dispatcher) = guard.as_mut() else { return Next::Restart };
        self.queue.set_awake();
        dispatcher.refresh_clock();
        for event in events.drain(..) {
            let (data, flags) = (event.data.u64(), event.flags);
            if data != TASK_QUEUE {
                dispatcher.on_event(Token::from_u64(data), flags);
            }
        }
        let control = self.queue.take(queued);
        if control.cut {
            return Next::End;
        }
        dispatcher.accept(queued);
        if control.closing {
            dispatcher.close();
        }
        dispatcher.keep_time();
        dispatcher.work();
        if dispatcher.has_work() || !self.queue.try_sleep(control) {
            return Next::Wait(Some(Duration::ZERO));
        }
        Next::Wait(dispatcher.idle_time())
    }
}

impl GroupWaker for Reactor {
    fn wake(&self, key: u32) {
        if let Some(mut guard) = self.dispatcher.try_lock()
            && let Some(dispatcher) = guard.as_mut()
            && dispatcher.readers(key) <= DIRECT_READERS_MAX
            && !dispatcher.has_work()
        {
            let served = catch_unwind(AssertUnwindSafe(|| {
                dispatcher.serve_now(key);
                dispatcher.has_work()
            }));
            drop(guard);
            if served.is_err() {
                // The publisher does not fail. The thread finds that nothing is left, and restarts.
                self.drop_streams();
            }
            if served.unwrap_or(true) {
                self.queue.wake();
            }
            return;
        }
        self.queue.push_group(key);
    }
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor").field("live", &self.live).finish_non_exhaustive()
    }
}

fn timespec(time: Duration) -> Timespec {
    // At most one tick.
    Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) }
}
