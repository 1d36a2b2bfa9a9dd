//! The threads that serve connections: one a core, each with a runtime of its own.
//!
//! A connection stays on the thread that it was given to, so a request at an idle hub wakes that one and nobody else. A
//! runtime that shares its tasks out would wake a second thread, to find nothing left to do: that costs more than
//! reading the request. What belongs to the hub as a whole (accepting, signals, sweeping, Redis) runs on the first.

use std::{io, thread};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::oneshot,
};

/// The threads, of which the one that started them is the first.
#[derive(Debug)]
pub(crate) struct Workers {
    runtimes: Vec<Handle>,
    /// Whose turn it is.
    turn: usize,
    others: Vec<Other>,
}

/// A thread that was started here.
#[derive(Debug)]
struct Other {
    /// Dropped, it has the thread end.
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Workers {
    /// Starts the others beside `first`, the runtime of the calling thread: one for each core that this process may use,
    /// in all.
    pub(crate) fn start(first: Handle) -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let mut workers = Self { runtimes: vec![first], turn: 0, others: Vec::new() };
        for number in 1..cores {
            let runtime = runtime()?;
            let handle = runtime.handle().clone();
            let (stop, stopped) = oneshot::channel::<()>();
            let thread = thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                let _ = runtime.block_on(stopped);
                // What is still blocked in a thread by then is nothing that anybody waits for.
                runtime.shutdown_background();
            })?;
            workers.runtimes.push(handle);
            workers.others.push(Other { stop, thread });
        }
        Ok(workers)
    }

    /// The runtime for the next connection: each in turn, as what a connection will ask for nobody knows yet.
    pub(crate) fn next(&mut self) -> &Handle {
        self.turn = (self.turn + 1) % self.runtimes.len();
        &self.runtimes[self.turn]
    }

    /// Ends the threads, and whatever still runs on them.
    pub(crate) fn end(self) {
        for Other { stop, thread } in self.others {
            drop(stop);
            if thread.join().is_err() {
                tracing::error!("a thread that served connections had panicked");
            }
        }
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
        let mut workers = Workers::start(first.handle().clone()).unwrap();
        let count = workers.runtimes.len();
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
