//! Tests of turns, on a reactor that works only when it is told to: a small group is not delayed by a large one.

use std::{
    io::Read,
    net::{TcpListener, TcpStream},
    sync::Arc,
};

use rustix::event::epoll;
use tidecast::{Event, Hub, Start, wire::FirstBlock};
use tokio::sync::Notify;

use super::{Next, Reactor, dispatcher::Dispatcher, task_queue::Queued};
use crate::{
    detach::{ConnectionGuard, Detached},
    listener::connection_limit::ConnectionLimit,
    options::ServeOptions,
};

const LARGE: usize = 400;

/// A reactor without a thread.
struct SteppedReactor {
    reactor: Arc<Reactor>,
    hub: Hub,
    events: Vec<epoll::Event>,
    queued: Queued,
}

impl SteppedReactor {
    fn new() -> Self {
        let reactor = Arc::new(Reactor::new(Arc::new(Notify::new())).unwrap());
        *reactor.dispatcher.lock() = Some(reactor.dispatcher(&ServeOptions::default(), Arc::default()));
        Self { reactor, hub: Hub::new(), events: Vec::with_capacity(16), queued: Queued::default() }
    }

    /// Returns a client whose stream is on its way to the reactor.
    fn join(&self, listener: &TcpListener, channel: &str) -> TcpStream {
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_nonblocking(true).unwrap();
        let (socket, _) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut subscription = self.hub.subscribe([channel], Start::Live).unwrap();
        subscription.first_block(FirstBlock::default());
        let limit = ConnectionLimit::new(&ServeOptions::default(), Arc::default());
        let detached = Detached {
            socket: socket.into(),
            unwritten: bytes::Bytes::new(),
            subscription,
            sent_at: tokio::time::Instant::now(),
            deadline: None,
            chunked: true,
            guard: ConnectionGuard { _permit: limit.try_acquire(), _attached: None },
        };
        self.reactor.queue.push_detached(detached, self.reactor.live.add());
        client
    }

    fn step(&mut self) {
        assert!(matches!(self.reactor.work(&mut self.events, &mut self.queued), Next::Wait(_)));
    }

    /// Publishes while the reactor is at work, so that the publisher writes to no socket itself.
    fn publish(&self, channels: &[&str]) {
        let _at_work = self.reactor.dispatcher.lock();
        for channel in channels {
            self.hub.publish_now(*channel, Event::text("an event")).unwrap();
        }
    }
}

/// Returns how many clients have something to read.
fn reached(clients: &mut [TcpStream]) -> usize {
    let mut buffer = [0; 4096];
    clients.iter_mut().filter_map(|client| client.read(&mut buffer).ok()).filter(|read| *read > 0).count()
}

/// Only some readers of a large group are served before another group has its turn, even if the large group has new events
/// at every turn.
#[tokio::test]
async fn a_large_group_does_not_delay_a_small_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut stepped = SteppedReactor::new();
    let mut large: Vec<_> = (0..LARGE).map(|_| stepped.join(&listener, "large")).collect();
    let mut small: Vec<_> = (0..2).map(|_| stepped.join(&listener, "small")).collect();
    stepped.step();

    stepped.publish(&["large", "small"]);
    stepped.step();
    let first = reached(&mut large);
    assert!((1..LARGE).contains(&first), "{first} at one turn");
    stepped.publish(&["large"]);
    stepped.step();
    assert_eq!(reached(&mut small), 2, "the small group waited for the large one");

    for _ in 0..20 {
        stepped.publish(&["large", "small"]);
        stepped.step();
        stepped.step();
        assert_eq!(reached(&mut small), 2);
    }
    // The large group is not forgotten either.
    while stepped.reactor.dispatcher.lock().as_ref().is_some_and(Dispatcher::has_work) {
        stepped.step();
    }
    reached(&mut large);
    stepped.publish(&["large"]);
    for _ in 0..LARGE {
        stepped.step();
    }
    assert_eq!(reached(&mut large), LARGE);
}
