//! Reactors: each a thread that writes what channels have to the sockets of many streams.
//!
//! A stream that has left hyper is here a socket and a few dozen bytes. All of a reactor's stand behind one lock, which
//! its thread holds while it works and lets go of only to wait. Sockets are written to under that lock, against what holds
//! everywhere else, that nothing is sent under one. What bounds it:
//!
//! - No write waits, as no socket blocks.
//! - Nobody waits for the lock but the thread itself, for at most as long as another takes to write to
//!   [`DIRECT_READERS_MAX`] sockets. All others only try it. Where it is taken they leave word in the inbox, whose lock is
//!   held for a few instructions.
//! - Under it no other is taken but those that take none themselves: a log's, the inbox', those of counters and places.
//!
//! **The direct send**: who publishes to a channel with few readers here, while the thread sleeps, writes to their sockets
//! itself. To wake the thread for it would cost more than the writes, and delay them.

mod chunk;
mod closing;
mod connections;
mod entry;
#[cfg(test)]
mod fairness;
mod full_stream;
mod read_cache;
mod round;
mod slab;
mod task_queue;
mod timers;
mod wheel;

use std::{
    fmt, io,
    ops::ControlFlow,
    os::fd::OwnedFd,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use parking_lot::Mutex;
use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
};
use tidecast::{GroupWaker, ReaderGroups};
use tokio::{runtime::Handle, sync::Notify};

use self::{
    connections::Connections,
    slab::Token,
    task_queue::{Inbox, Mail},
};
use crate::{
    config::Config,
    detach::Detached,
    observe::metrics::Counters,
    supervise::{Task, Tasks},
};

/// How many readers a channel may have here for a publisher to write to them itself.
const DIRECT_READERS_MAX: usize = 8;

/// How many events are taken from the system at once.
const EVENTS_MAX: usize = 256;

/// Stands for the inbox among the tokens, of which none is 0.
const INBOX: u64 = 0;

/// All reactors.
#[derive(Debug)]
pub(crate) struct Reactors {
    all: Box<[Arc<Reactor>]>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    counters: Arc<Counters>,
    /// Told when a reactor has no connection left.
    emptied: Arc<Notify>,
}

struct Reactor {
    /// `None` before the thread has begun, and after it has ended.
    connections: Mutex<Option<Connections>>,
    members: Arc<Members>,
    inbox: Arc<Inbox>,
    epoll: Arc<OwnedFd>,
}

/// The connections of a reactor, with those that are still in the inbox.
#[derive(Debug)]
struct Members {
    count: AtomicUsize,
    emptied: Arc<Notify>,
}

/// What a reactor's thread does after a round.
enum Next {
    /// Wait for this long; `None` is for ever.
    Wait(Option<Duration>),
    End,
    BeginAgain,
}

/// One of them. It is counted until it is dropped, wherever that is.
#[derive(Debug)]
struct Member(Arc<Members>);

impl Reactors {
    /// Starts as many reactors as the configuration says. To be called within a runtime, which brokers may need.
    pub(crate) fn start(config: &Config, counters: &Arc<Counters>, tasks: &Tasks) -> io::Result<Self> {
        let emptied = Arc::new(Notify::new());
        let mut all = Vec::with_capacity(config.reactors);
        let mut threads = Vec::with_capacity(config.reactors);
        for number in 0..config.reactors {
            let reactor = Arc::new(Reactor::new(emptied.clone())?);
            let (running, config, counters) = (reactor.clone(), config.clone(), counters.clone());
            let runtime = Handle::current();
            let task = tasks.add(format!("reactor-{number}"));
            let run = move || {
                let _entered = runtime.enter();
                running.run(&task, || {
                    let taps = ReaderGroups::new(running.clone());
                    Connections::new(taps, running.epoll.clone(), running.inbox.clone(), &config, counters.clone())
                });
            };
            threads.push(std::thread::Builder::new().name(format!("reactor-{number}")).spawn(run)?);
            all.push(reactor);
        }
        Ok(Self { all: all.into(), threads: threads.into(), counters: counters.clone(), emptied })
    }

    /// Whether there is any: otherwise streams stay where they are.
    pub(crate) fn any(&self) -> bool {
        !self.all.is_empty()
    }

    /// Gives a connection to the reactor that has the fewest. In turn would not do: streams last, and which ones end is
    /// nobody's turn.
    pub(crate) fn adopt(&self, detached: Detached) {
        let Some(reactor) = self.all.iter().min_by_key(|reactor| reactor.members.count()) else { return };
        self.counters.count_detached();
        reactor.inbox.adopt(detached, reactor.members.join());
    }

    /// Has every stream end once it has been given all there is. The hub is closed, and nothing more comes.
    pub(crate) fn end(&self) {
        for reactor in &self.all {
            reactor.inbox.end();
        }
    }

    /// Waits until no connection is left.
    ///
    /// # Cancel safety
    ///
    /// It only looks.
    pub(crate) async fn ended(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.count() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// How many connections there are.
    pub(crate) fn count(&self) -> usize {
        self.all.iter().map(|reactor| reactor.members.count()).sum()
    }

    /// Cuts what is left, and ends the threads.
    pub(crate) fn cut(&self) {
        for reactor in &self.all {
            reactor.inbox.cut();
        }
        for thread in self.threads.lock().drain(..) {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Members {
    fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn join(self: &Arc<Self>) -> Member {
        self.count.fetch_add(1, Ordering::Relaxed);
        Member(self.clone())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.emptied.notify_waiters();
        }
    }
}

impl Reactor {
    fn new(emptied: Arc<Notify>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let inbox = Inbox::new()?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, inbox.waker(), epoll::EventData::new_u64(INBOX), flags)?;
        Ok(Self {
            connections: Mutex::new(None),
            members: Arc::new(Members { count: AtomicUsize::new(0), emptied }),
            inbox: Arc::new(inbox),
            epoll: Arc::new(epoll),
        })
    }

    /// Serves until it is told to end. A panic costs the streams of this reactor, whose clients come back, and no others.
    fn run(&self, task: &Task, connections: impl Fn() -> Connections) {
        task.run(|| {
            *self.connections.lock() = Some(connections());
            let ended = catch_unwind(AssertUnwindSafe(|| self.serve(task)));
            self.drop_connections();
            ended.unwrap_or(ControlFlow::Continue(()))
        });
    }

    /// Drops all connections. What this drops takes locks of its own, and has nobody wait for ours.
    fn drop_connections(&self) {
        let left = self.connections.lock().take();
        drop(left);
    }

    /// Serves until it is told to end, or finds that a thread which wrote here has panicked.
    fn serve(&self, task: &Task) -> ControlFlow<()> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let mut mail = Mail::default();
        loop {
            task.fault_point();
            let idle_time = match self.work(&mut events, &mut mail) {
                Next::Wait(idle_time) => idle_time,
                Next::End => return ControlFlow::Break(()),
                Next::BeginAgain => return ControlFlow::Continue(()),
            };
            let timeout = idle_time.map(timespec);
            match epoll::wait(&*self.epoll, spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "a reactor failed to wait");
                    // What waits for sockets waits longer, and the rest goes on.
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }

    /// Does what there is to do, once around.
    fn work(&self, events: &mut Vec<epoll::Event>, mail: &mut Mail) -> Next {
        let mut guard = self.connections.lock();
        let Some(connections) = guard.as_mut() else { return Next::BeginAgain };
        self.inbox.woke();
        connections.look_at_clock();
        for event in events.drain(..) {
            let (data, flags) = (event.data.u64(), event.flags);
            if data != INBOX {
                connections.on_event(Token::from_u64(data), flags);
            }
        }
        let orders = self.inbox.take(mail);
        if orders.cut {
            return Next::End;
        }
        connections.open(mail);
        if orders.ending {
            connections.end();
        }
        connections.keep_time();
        connections.work();
        if connections.has_work() || !self.inbox.may_sleep(orders) {
            return Next::Wait(Some(Duration::ZERO));
        }
        Next::Wait(connections.idle_time())
    }
}

impl GroupWaker for Reactor {
    fn wake(&self, key: u32) {
        if let Some(mut guard) = self.connections.try_lock()
            && let Some(connections) = guard.as_mut()
            && connections.channels.readers(key) <= DIRECT_READERS_MAX
            && !connections.has_work()
        {
            let served = catch_unwind(AssertUnwindSafe(|| {
                connections.serve_now(key);
                connections.has_work()
            }));
            drop(guard);
            if served.is_err() {
                // Whoever publishes is not to fail with it, and the thread finds that there is nothing left.
                self.drop_connections();
            }
            if served.unwrap_or(true) {
                self.inbox.nudge();
            }
            return;
        }
        self.inbox.mark_dirty(key);
    }
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor").field("members", &self.members).finish_non_exhaustive()
    }
}

fn timespec(time: Duration) -> Timespec {
    // A tick at most.
    Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) }
}
