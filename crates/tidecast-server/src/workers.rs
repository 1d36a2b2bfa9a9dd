//! The threads that serve connections: one a core, each with a runtime of its own.
//!
//! A connection stays on the thread that it was given to, so a request at an idle hub wakes that one and nobody else. A
//! runtime that shares its tasks out would wake a second thread, to find nothing left to do: that costs more than
//! reading the request. What belongs to the hub as a whole (accepting, signals, sweeping, Redis) runs on a thread beside
//! them: on one of theirs accepting would have its turn behind what those ask for who were accepted before.

use std::{io, thread};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::oneshot,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Workers {
    workers: Vec<Worker>,
    /// Whose turn it is.
    turn: usize,
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    /// Dropped, it has the thread end.
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Workers {
    /// Starts one for each core that this process may use.
    pub(crate) fn start() -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let workers = (0..cores).map(Worker::start).collect::<io::Result<_>>()?;
        Ok(Self { workers, turn: 0 })
    }

    /// The runtime for the next connection: each in turn, as what a connection will ask for nobody knows yet.
    pub(crate) fn next(&mut self) -> &Handle {
        self.turn = (self.turn + 1) % self.workers.len();
        &self.workers[self.turn].runtime
    }

    /// Ends the threads, and whatever still runs on them.
    pub(crate) fn end(self) {
        for Worker { stop, thread, .. } in self.workers {
            drop(stop);
            if thread.join().is_err() {
                tracing::error!("a thread that served connections had panicked");
            }
        }
    }
}

impl Worker {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = runtime()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            let _ = runtime.block_on(stopped);
            // What is still blocked in a thread by then is nothing that anybody waits for.
            runtime.shutdown_background();
        })?;
        Ok(Self { runtime: handle, stop, thread })
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

    #[test]
    fn connections_are_shared_out_evenly_and_all_threads_end() {
        let first = runtime().unwrap();
        let mut workers = Workers::start().unwrap();
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
