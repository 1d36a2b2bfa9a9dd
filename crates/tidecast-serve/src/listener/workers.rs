//! The threads that serve connections: one a core, each with a runtime of its own.
//!
//! A connection stays on the thread that it was given to, so a request at an idle hub wakes that one and nobody else. A
//! runtime that shares its tasks out would wake a second thread, to find nothing left to do: that costs more than
//! reading the request. What belongs to the hub as a whole (accepting, signals, sweeping, Redis) runs on a thread beside
//! them: on one of theirs accepting would have its turn behind what those ask for who were accepted before.

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

use crate::supervise::{Task, Tasks};

/// See the module.
#[derive(Debug)]
pub(crate) struct Workers {
    workers: Vec<Worker>,
    /// Whose turn it is.
    turn: AtomicUsize,
    /// Dropped, it has the threads end.
    stop: watch::Sender<()>,
}

#[derive(Debug)]
struct Worker {
    /// Another one once its thread has begun again.
    runtime: Arc<Mutex<Handle>>,
    thread: thread::JoinHandle<()>,
}

impl Workers {
    /// Starts one for each core that this process may use.
    pub(crate) fn start(tasks: &Tasks) -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let (stop, stopped) = watch::channel(());
        let start = |number| Worker::start(number, tasks.add(format!("worker-{number}")), stopped.clone());
        let workers = (0..cores).map(start).collect::<io::Result<_>>()?;
        Ok(Self { workers, turn: AtomicUsize::new(0), stop })
    }

    /// The runtime for the next connection: each in turn, as what a connection will ask for nobody knows yet.
    pub(crate) fn next(&self) -> Handle {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.workers.len();
        self.workers[turn].runtime.lock().clone()
    }

    /// Ends the threads, and whatever still runs on them.
    pub(crate) fn end(self) {
        drop(self.stop);
        for worker in self.workers {
            // One that panicked has said so.
            let _ = worker.thread.join();
        }
    }
}

impl Worker {
    fn start(number: usize, task: Task, mut stopped: watch::Receiver<()>) -> io::Result<Self> {
        let first = runtime()?;
        let shown = Arc::new(Mutex::new(first.handle().clone()));
        let (current, mut first, watching) = (shown.clone(), Some(first), task.clone());
        let work = move || {
            let runtime = match first.take().map_or_else(runtime, Ok) {
                Ok(runtime) => runtime,
                Err(error) => {
                    tracing::error!(%error, "failed to begin a worker again");
                    return ControlFlow::Continue(());
                }
            };
            *current.lock() = runtime.handle().clone();
            // An error means that the sender has gone, which is the order to end.
            let _ = runtime.block_on(watching.watch(stopped.changed()));
            // What is still blocked in a thread by then is nothing that anybody waits for.
            runtime.shutdown_background();
            ControlFlow::Break(())
        };
        let thread = thread::Builder::new().name(format!("worker-{number}")).spawn(move || task.run(work))?;
        Ok(Self { runtime: shown, thread })
    }
}

/// A runtime for one thread.
pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, thread};

    use super::{Workers, runtime};
    use crate::supervise::Tasks;

    #[test]
    fn connections_are_shared_out_evenly_and_all_threads_end() {
        let first = runtime().unwrap();
        let workers = Workers::start(&Tasks::default()).unwrap();
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
