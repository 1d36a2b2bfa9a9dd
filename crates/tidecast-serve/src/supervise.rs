//! Supervision of the threads and tasks that live as long as the server.
//!
//! A thread that dies unnoticed leaves a server that answers some requests and seems to work. So a task that panics is
//! restarted, and [`Supervisor::missing`] names it until it runs again.

use std::{
    future::poll_fn,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use parking_lot::Mutex;

/// The pause before a restart, so that a task which panics each time does not take a core.
const RESTART_AFTER: Duration = Duration::from_millis(100);

/// Restarts the tasks of a program that panic.
#[derive(Debug, Default)]
pub struct Supervisor {
    all: Mutex<Vec<Arc<TaskState>>>,
    restarts: Arc<AtomicU64>,
}

/// One task, which runs its work under supervision.
#[derive(Debug, Clone)]
pub struct SupervisedTask {
    state: Arc<TaskState>,
    restarts: Arc<AtomicU64>,
}

#[derive(Debug)]
struct TaskState {
    name: String,
    running: AtomicBool,
    #[cfg(any(test, feature = "fault-injection"))]
    fault: fault::Fault,
}

impl Supervisor {
    /// Adds a task. It counts as running unless it waits for a restart.
    pub fn add(&self, name: impl Into<String>) -> SupervisedTask {
        let state = Arc::new(TaskState {
            name: name.into(),
            running: AtomicBool::new(true),
            #[cfg(any(test, feature = "fault-injection"))]
            fault: fault::Fault::default(),
        });
        self.all.lock().push(state.clone());
        SupervisedTask { state, restarts: self.restarts.clone() }
    }

    /// Returns the names of the tasks that panicked and were not restarted yet.
    pub fn missing(&self) -> Vec<String> {
        let all = self.all.lock();
        all.iter().filter(|task| !task.running.load(Ordering::Relaxed)).map(|task| task.name.clone()).collect()
    }

    /// Returns how many restarts there were, of all tasks together.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }
}

impl SupervisedTask {
    /// Runs a thread's work until it returns [`ControlFlow::Break`]. Work that panics or returns
    /// [`ControlFlow::Continue`] is restarted.
    pub fn run(&self, mut work: impl FnMut() -> ControlFlow<()>) {
        loop {
            if let Ok(ControlFlow::Break(())) = catch_unwind(AssertUnwindSafe(&mut work)) {
                return;
            }
            self.on_panic();
            std::thread::sleep(RESTART_AFTER);
            while self.is_held() {
                std::thread::sleep(RESTART_AFTER);
            }
            self.on_restart();
        }
    }

    /// Runs a future to its end. A future that panics is replaced by another one of `make`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the work, which is not restarted.
    pub async fn supervise<F: Future<Output = ()>>(&self, make: impl Fn() -> F) {
        loop {
            let mut work = pin!(self.watch(make()));
            let result = poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
                Ok(poll) => poll.map(Ok),
                Err(panic) => Poll::Ready(Err(panic)),
            });
            if result.await.is_ok() {
                return;
            }
            self.on_panic();
            tokio::time::sleep(RESTART_AFTER).await;
            while self.is_held() {
                tokio::time::sleep(RESTART_AFTER).await;
            }
            self.on_restart();
        }
    }

    fn on_panic(&self) {
        self.state.running.store(false, Ordering::Relaxed);
        tracing::error!(task = %self.state.name, "task panicked; restarting it");
    }

    fn on_restart(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
        self.state.running.store(true, Ordering::Relaxed);
    }
}

#[cfg(not(any(test, feature = "fault-injection")))]
#[expect(clippy::unused_self, reason = "used with the feature `fault-injection`")]
impl SupervisedTask {
    /// Returns the future itself. In tests, it panics on demand.
    #[doc(hidden)]
    pub fn watch<F: Future>(&self, work: F) -> F {
        work
    }

    /// Does nothing. In tests, it panics on demand.
    #[doc(hidden)]
    pub fn fault_point(&self) {}

    fn is_held(&self) -> bool {
        false
    }
}

/// Makes tasks panic on demand and delays their restart.
#[cfg(any(test, feature = "fault-injection"))]
mod fault {
    use std::{
        future::poll_fn,
        pin::pin,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        task::Waker,
    };

    use parking_lot::Mutex;

    use super::{SupervisedTask, Supervisor, TaskState};

    #[derive(Debug, Default)]
    pub(super) struct Fault {
        due: AtomicBool,
        held: AtomicBool,
        waker: Mutex<Option<Waker>>,
    }

    #[doc(hidden)]
    impl Supervisor {
        /// Makes a task panic the next time that it runs. It is restarted only after [`revive`](Self::revive).
        pub fn kill(&self, name: &str) {
            let task = self.find(name);
            task.fault.held.store(true, Ordering::SeqCst);
            task.fault.due.store(true, Ordering::SeqCst);
            if let Some(waker) = task.fault.waker.lock().take() {
                waker.wake();
            }
        }

        /// Lets a task be restarted.
        pub fn revive(&self, name: &str) {
            self.find(name).fault.held.store(false, Ordering::SeqCst);
        }

        /// Returns the names of all tasks.
        pub fn names(&self) -> Vec<String> {
            self.all.lock().iter().map(|task| task.name.clone()).collect()
        }

        fn find(&self, name: &str) -> Arc<TaskState> {
            let task = self.all.lock().iter().find(|task| task.name == name).cloned();
            task.unwrap_or_else(|| panic!("no task {name}"))
        }
    }

    #[doc(hidden)]
    impl SupervisedTask {
        /// Returns a future that panics if a test asked for it.
        pub async fn watch<F: Future>(&self, work: F) -> F::Output {
            let mut work = pin!(work);
            poll_fn(|context| {
                *self.state.fault.waker.lock() = Some(context.waker().clone());
                self.fault_point();
                work.as_mut().poll(context)
            })
            .await
        }

        /// Panics if a test asked for it.
        pub fn fault_point(&self) {
            assert!(!self.state.fault.due.swap(false, Ordering::SeqCst), "killed by a test");
        }

        pub(super) fn is_held(&self) -> bool {
            self.state.fault.held.load(Ordering::SeqCst)
        }
    }
}
