//! The threads that serve connections: one per core, each with its own runtime.
//!
//! A connection stays on its thread, so a request to an idle server wakes one thread only. A runtime that balances tasks
//! would wake a second thread to find nothing to do, which costs more than reading the request. Accepting, signals and
//! other work of the whole program run on a thread beside the workers, where requests do not delay them.

use std::{
    io,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use parking_lot::Mutex;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::watch,
};

use crate::supervise::{SupervisedTask, Supervisor};

/// The threads that serve connections.
#[derive(Debug)]
pub(crate) struct Workers {
    workers: Vec<Worker>,
    turn: AtomicUsize,
    /// Dropping it ends the threads.
    stop: watch::Sender<()>,
}

#[derive(Debug)]
struct Worker {
    /// Replaced when the thread's work is restarted.
    runtime: Arc<Mutex<Handle>>,
    thread: thread::JoinHandle<()>,
}

impl Workers {
    /// Starts one thread for each core that the process may use.
    pub(crate) fn start(tasks: &Supervisor) -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let (stop, stopped) = watch::channel(());
        let start = |number| Worker::start(number, tasks.add(format!("worker-{number}")), stopped.clone());
        let workers = (0..cores).map(start).collect::<io::Result<_>>()?;
        Ok(Self { workers, turn: AtomicUsize::new(0), stop })
    }

    /// Returns the runtime for the next connection. They take turns, because nobody knows yet what a connection will cost.
    pub(crate) fn next(&self) -> Handle {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.workers.len();
        self.workers[turn].runtime.lock().clone()
    }

    /// Ends the threads, and the tasks that still run on them.
    pub(crate) fn end(self) {
        drop(self.stop);
        for worker in self.workers {
            // A panic was logged when it happened.
            let _ = worker.thread.join();
        }
    }
}

impl Worker {
    fn start(number: usize, task: SupervisedTask, mut stopped: watch::Receiver<()>) -> io::Result<Self> {
        let first = runtime()?;
        let handle = Arc::new(Mutex::new(first.handle().clone()));
        let (current, mut first, watched) = (handle.clone(), Some(first), task.clone());
        let work = move || {
            let runtime = match first.take().map_or_else(runtime, Ok) {
                Ok(runtime) => runtime,
                Err(error) => {
                    tracing::error!(%error, "failed to restart a worker");
                    return ControlFlow::Continue(());
                }
            };
            *current.lock() = runtime.handle().clone();
            // An error means that the sender is gone, which is the signal to end.
            let _ = runtime.block_on(watched.watch(stopped.changed()));
            // Does not wait for blocking calls: nobody needs their results any more.
            runtime.shutdown_background();
            ControlFlow::Break(())
        };
        let thread = thread::Builder::new().name(format!("worker-{number}")).spawn(move || task.run(work))?;
        Ok(Self { runtime: handle, thread })
    }
}

/// Creates a runtime for one thread, with timers and sockets.
///
/// # Errors
///
/// Those of the system, for example that no file descriptor is free.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, thread};

    use super::{Workers, runtime};
    use crate::supervise::Supervisor;

    #[test]
    fn connections_are_spread_evenly_and_all_threads_end() {
        let first = runtime().unwrap();
        let workers = Workers::start(&Supervisor::default()).unwrap();
        let count = workers.workers.len();
        let threads: HashSet<_> = first.block_on(async {
            let mut threads = HashSet::new();
            for _ in 0..count {
                let task = workers.next().spawn(async { thread::current().id() });
                threads.insert(task.await.unwrap());
            }
            threads
        });
        assert_eq!(threads.len(), count);
        workers.end();
    }
}
