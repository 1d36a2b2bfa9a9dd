//! The state that all requests share.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use tidecast::{Hub, broker::Broker};
use tidecast_axum::internals::sweep_until_closed;
use tidecast_serve::{ConnectionCounters, Supervisor};

use crate::{
    auth::Auth,
    config::{Config, ConfigHandle},
    http::body::BodyMemory,
    observe::{metrics::RequestCounters, terminal},
    streams::admission::Admission,
};

/// The state that all requests share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) config: ConfigHandle,
    pub(crate) hub: Hub,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) auth: Arc<Auth>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) counters: Arc<RequestCounters>,
    pub(crate) connections: Arc<ConnectionCounters>,
    pub(crate) bodies: BodyMemory,
    pub(crate) tasks: Arc<Supervisor>,
    address: SocketAddr,
}

impl App {
    /// Builds the state. It must be called within a runtime.
    pub(crate) fn new(config: Config, address: SocketAddr, tasks: Arc<Supervisor>) -> anyhow::Result<Arc<Self>> {
        let counters = Arc::new(RequestCounters::default());
        let broker = config.broker.build().context("failed to start the broker")?;
        let hub = Hub::builder().limits(config.limits.clone()).broker(broker.clone()).build();
        sweep(&hub, &tasks);
        let bodies = BodyMemory::new(config.bodies_bytes_max);
        Ok(Arc::new(Self {
            auth: Arc::new(Auth::new(address, counters.clone())),
            admission: Arc::new(Admission::new(hub.clone(), counters.clone())),
            hub,
            broker,
            counters,
            connections: Arc::default(),
            bodies,
            tasks,
            config: ConfigHandle::new(config),
            address,
        }))
    }

    /// Prints the address of the hub and an example request, and logs the warnings.
    pub(crate) fn announce(&self, warnings: &[String]) {
        let mut shown = self.address;
        let mut is_at = "is at";
        let listening = format!("is listening on {shown}, for example");
        // Not every client can connect to the unspecified address.
        if shown.ip().is_unspecified() {
            is_at = &listening;
            shown.set_ip(if shown.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
        }
        let config = self.config.snapshot();
        let key = if config.access.publish_key.is_some() {
            " -H \"Authorization: Bearer $TIDECAST_PUBLISH_KEY\""
        } else {
            ""
        };
        let version = env!("CARGO_PKG_VERSION");
        let text = format!(
            "Tidecast {version} {is_at} http://{shown}/\n\
             broker: {}\n\
             Open the address in a browser, then: curl http://{shown}/publish{key} -d data=hello\n",
            config.broker
        );
        // The hub runs also if standard output is closed or blocked.
        terminal::with_timeout(move || drop(terminal::print(&text)));
        tracing::info!(address = %self.address, broker = %config.broker, "listening");
        for warning in warnings {
            tracing::warn!(warning, "configuration warning");
        }
    }
}

/// Sweeps a hub for as long as it is open.
fn sweep(hub: &Hub, tasks: &Supervisor) {
    let task = tasks.add("sweeper");
    let Some(sweeper) = hub.sweeper() else { return };
    tokio::spawn(async move { task.supervise(|| sweep_until_closed(&sweeper)).await });
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::Duration};

    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt;
    use tidecast_serve::{ConnectionInfo, ConnectionOrigin, Server};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        sync::oneshot,
        time::{sleep, timeout},
    };

    use super::*;
    use crate::{
        config::Settings,
        http::{publish::fast_path::PublishProtocol, router::Routes},
    };

    async fn wait_until(what: &str, holds: impl Fn() -> bool) {
        let waiting = async {
            while !holds() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(30), waiting).await.unwrap_or_else(|_| panic!("{what} does not run again"));
    }

    async fn readiness(app: &Arc<App>, address: SocketAddr) -> (u16, String) {
        let request = Request::get("/readyz").header("host", address.to_string()).body(Body::empty()).unwrap();
        let connection = ConnectionInfo::new(ConnectionOrigin::plain(address, address), Arc::default());
        let answer = Routes::new(app).answer(connection, request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Publishes and subscribes on new connections until a stream has received an event.
    async fn wait_for_event(address: SocketAddr) {
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
        timeout(Duration::from_secs(30), trying).await.expect("an event arrives");
    }

    /// A task that panicked stayed away, and the hub seemed to work: publishes got a 200, and no subscriber got the events.
    #[tokio::test]
    async fn every_task_is_restarted_and_readyz_names_it_meanwhile() {
        let settings = Settings::default();
        let config = Config { listen: "127.0.0.1:0".parse().unwrap(), ..Config::from_settings(&settings).unwrap() };
        let listener = tidecast_serve::bind(config.listen).unwrap();
        let address = listener.local_addr().unwrap();
        let app = App::new(config, address, Arc::default()).unwrap();
        let server =
            Server::start(app.config.snapshot().serve_options(), app.connections.clone(), app.tasks.clone()).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (routes, publishes, hub) = (Routes::new(&app), PublishProtocol::new(app.clone()), app.hub.clone());
        let stopped = async move {
            let _ = stopped.await;
        };
        let serving =
            tokio::spawn(server.serve_with_early_protocol(listener, routes, publishes, stopped, move || hub.close()));
        wait_for_event(address).await;
        let names = app.tasks.names();
        for part in ["acceptor", "sweeper", "worker-0", if cfg!(target_os = "linux") { "reactor-0" } else { "" }] {
            assert!(part.is_empty() || names.iter().any(|name| name == part), "{part} in {names:?}");
        }
        for (restarts, name) in (1..).zip(&names) {
            assert_eq!(readiness(&app, address).await.0, 200);
            app.tasks.kill(name);
            // A reactor runs when it has work.
            let busy = async {
                while app.tasks.missing().is_empty() {
                    let mut stream = TcpStream::connect(address).await.unwrap();
                    let request = format!("GET /stream HTTP/1.1\r\nHost: {address}\r\n\r\n");
                    stream.write_all(request.as_bytes()).await.unwrap();
                    sleep(Duration::from_millis(5)).await;
                }
            };
            timeout(Duration::from_secs(30), busy).await.unwrap_or_else(|_| panic!("{name} did not fail"));
            let (status, text) = readiness(&app, address).await;
            let problem = format!("restarting after a panic: {name}; see the log");
            assert!(status == 503 && text.contains(&problem), "{name}: {status} {text}");
            app.tasks.revive(name);
            wait_until(name, || app.tasks.missing().is_empty()).await;
            assert_eq!(app.tasks.restarts(), restarts);
            wait_for_event(address).await;
        }
        drop(stop);
        timeout(Duration::from_secs(30), serving).await.expect("the server stops").unwrap().unwrap();
    }
}
