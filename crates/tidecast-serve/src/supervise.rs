//! The tasks that live as long as the hub: one that panics is started again, and `/readyz` names it until it runs.
//!
//! A task that nobody watches fails in silence: a hub whose accepting or sweeping has ended answers all that is left, and
//! looks as if it worked.

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

/// How long a task that panicked is left alone, so that one which panics each time does not take a core.
const RESTART_AFTER: Duration = Duration::from_millis(100);

/// All tasks of a hub.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    all: Mutex<Vec<Arc<State>>>,
    restarts: Arc<AtomicU64>,
}

/// A task, held by whoever runs it.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    state: Arc<State>,
    restarts: Arc<AtomicU64>,
}

#[derive(Debug)]
struct State {
    name: String,
    running: AtomicBool,
    #[cfg(test)]
    fault: fault::Fault,
}

impl Tasks {
    /// Adds a task, which counts as running until it ends.
    pub(crate) fn add(&self, name: impl Into<String>) -> Task {
        let state = Arc::new(State {
            name: name.into(),
            running: AtomicBool::new(true),
            #[cfg(test)]
            fault: fault::Fault::default(),
        });
        self.all.lock().push(state.clone());
        Task { state, restarts: self.restarts.clone() }
    }

    /// Returns the names of the tasks that do not run.
    pub(crate) fn missing(&self) -> Vec<String> {
        let all = self.all.lock();
        all.iter().filter(|task| !task.running.load(Ordering::Relaxed)).map(|task| task.name.clone()).collect()
    }

    /// Returns how often a task was started again.
    pub(crate) fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }
}

impl Task {
    /// Runs a thread's work until it breaks off. Work that panics, or returns [`ControlFlow::Continue`], is begun again.
    pub(crate) fn run(&self, mut work: impl FnMut() -> ControlFlow<()>) {
        loop {
            if let Ok(ControlFlow::Break(())) = catch_unwind(AssertUnwindSafe(&mut work)) {
                return;
            }
            self.failed();
            std::thread::sleep(RESTART_AFTER);
            while self.is_held() {
                std::thread::sleep(RESTART_AFTER);
            }
            self.begun_again();
        }
    }

    /// Runs a future to its end. One that panics is replaced by another.
    pub(crate) async fn supervise<F: Future<Output = ()>>(&self, make: impl Fn() -> F) {
        loop {
            let mut work = pin!(self.watch(make()));
            let ended = poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
                Ok(Poll::Ready(())) => Poll::Ready(true),
                Ok(Poll::Pending) => Poll::Pending,
                Err(_) => Poll::Ready(false),
            });
            if ended.await {
                return;
            }
            self.failed();
            tokio::time::sleep(RESTART_AFTER).await;
            while self.is_held() {
                tokio::time::sleep(RESTART_AFTER).await;
            }
            self.begun_again();
        }
    }

    fn failed(&self) {
        self.state.running.store(false, Ordering::Relaxed);
        tracing::error!(task = %self.state.name, "a task of the hub has ended; starting it again");
    }

    fn begun_again(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
        self.state.running.store(true, Ordering::Relaxed);
    }
}

/// Where tests have a task fail: nowhere.
#[cfg(not(test))]
#[expect(clippy::unused_self, reason = "in tests it is used")]
impl Task {
    /// Returns a future that panics if a test has said so.
    pub(crate) fn watch<F: Future>(&self, work: F) -> F {
        work
    }

    /// Panics if a test has said so.
    pub(crate) fn fault_point(&self) {}

    fn is_held(&self) -> bool {
        false
    }
}

/// Has tasks fail on demand, and stay so until they are let go on.
#[cfg(test)]
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

    use super::{State, Task, Tasks};

    #[derive(Debug, Default)]
    pub(super) struct Fault {
        set: AtomicBool,
        held: AtomicBool,
        waker: Mutex<Option<Waker>>,
    }

    impl Tasks {
        /// Has a task panic the next time that it does anything. It is not started again before [`revive`](Self::revive).
        pub(crate) fn kill(&self, name: &str) {
            let task = self.find(name);
            task.fault.held.store(true, Ordering::SeqCst);
            task.fault.set.store(true, Ordering::SeqCst);
            if let Some(waker) = task.fault.waker.lock().take() {
                waker.wake();
            }
        }

        pub(crate) fn revive(&self, name: &str) {
            self.find(name).fault.held.store(false, Ordering::SeqCst);
        }

        fn find(&self, name: &str) -> Arc<State> {
            let task = self.all.lock().iter().find(|task| task.name == name).cloned();
            task.unwrap_or_else(|| panic!("no task {name}"))
        }

        pub(crate) fn names(&self) -> Vec<String> {
            self.all.lock().iter().map(|task| task.name.clone()).collect()
        }
    }

    impl Task {
        pub(crate) async fn watch<F: Future>(&self, work: F) -> F::Output {
            let mut work = pin!(work);
            poll_fn(|context| {
                *self.state.fault.waker.lock() = Some(context.waker().clone());
                self.fault_point();
                work.as_mut().poll(context)
            })
            .await
        }

        pub(super) fn is_held(&self) -> bool {
            self.state.fault.held.load(Ordering::SeqCst)
        }

        pub(crate) fn fault_point(&self) {
            assert!(!self.state.fault.set.swap(false, Ordering::SeqCst), "killed by a test");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::Duration};

    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        sync::oneshot,
        time::{sleep, timeout},
    };

    use super::*;
    use crate::{
        app::App,
        config::{Config, Settings},
        http::router::Routes,
        listen,
        workers::Workers,
    };

    async fn eventually(what: &str, holds: impl Fn() -> bool) {
        let waiting = async {
            while !holds() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(30), waiting).await.unwrap_or_else(|_| panic!("{what} never came"));
    }

    async fn readiness(app: &Arc<App>, address: SocketAddr) -> (u16, String) {
        let request = Request::get("/readyz").header("host", address.to_string()).body(Body::empty()).unwrap();
        let answer = Routes::new(app).answer(address, Arc::default(), request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Sends requests on new connections until a stream has been given an event.
    async fn an_event_comes_through(address: SocketAddr) {
        let host = format!("Host: {address}\r\n");
        let exchange = async || {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(format!("GET /stream HTTP/1.1\r\n{host}\r\n").as_bytes()).await?;
            let mut read = Vec::new();
            while !read.windows(4).any(|window| window == b"id: ") && stream.read_buf(&mut read).await? > 0 {}
            let mut publisher = TcpStream::connect(address).await?;
            let head = "POST /publish HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n";
            publisher.write_all(format!("{head}{host}\r\nhello").as_bytes()).await?;
            while !read.windows(11).any(|window| window == b"data: hello") {
                if stream.read_buf(&mut read).await? == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
            }
            std::io::Result::Ok(())
        };
        let trying = async {
            while exchange().await.is_err() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(30), trying).await.expect("an event comes through");
    }

    /// A task that panicked stayed away, and the hub went on as if nothing were missing: publishes were answered by 200, and
    /// nobody heard any more.
    #[tokio::test]
    async fn every_task_is_started_again_and_readyz_tells_while_it_is_away() {
        let settings = Settings::default();
        let config = Config { listen: "127.0.0.1:0".parse().unwrap(), ..Config::from_settings(&settings).unwrap() };
        let listener = listen::bind(&config).unwrap();
        let address = listener.local_addr().unwrap();
        let app = App::new(config, address, Arc::default()).unwrap();
        let workers = Workers::start(&app.tasks).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(listen::run(listener, app.clone(), workers, async move {
            let _ = stopped.await;
        }));
        an_event_comes_through(address).await;
        let names = app.tasks.names();
        for part in ["acceptor", "sweeper", "worker-0", if cfg!(target_os = "linux") { "reactor-0" } else { "" }] {
            assert!(part.is_empty() || names.iter().any(|name| name == part), "{part} in {names:?}");
        }
        for (restarts, name) in (1..).zip(&names) {
            assert_eq!(readiness(&app, address).await.0, 200);
            app.tasks.kill(name);
            // A reactor goes around when there is something to do.
            let nudged = async {
                while app.tasks.missing().is_empty() {
                    let mut stream = TcpStream::connect(address).await.unwrap();
                    let ask = format!("GET /stream HTTP/1.1\r\nHost: {address}\r\n\r\n");
                    stream.write_all(ask.as_bytes()).await.unwrap();
                    sleep(Duration::from_millis(5)).await;
                }
            };
            timeout(Duration::from_secs(30), nudged).await.unwrap_or_else(|_| panic!("{name} did not fail"));
            let (status, text) = readiness(&app, address).await;
            let told = format!("restarting after a panic: {name}; see the log");
            assert!(status == 503 && text.contains(&told), "{name}: {status} {text}");
            app.tasks.revive(name);
            eventually(name, || app.tasks.missing().is_empty()).await;
            assert_eq!(app.tasks.restarts(), restarts);
            an_event_comes_through(address).await;
        }
        drop(stop);
        timeout(Duration::from_secs(30), serving).await.expect("it ends").unwrap().unwrap();
    }
}
