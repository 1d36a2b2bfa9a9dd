//! Turns, on a reactor that goes around only when it is told to: what of a large channel is served before a small one.

use std::{
    io::Read,
    net::{TcpListener, TcpStream},
    sync::Arc,
};

use rustix::event::epoll;
use tidecast::{Event, Hub, ReaderGroups, Start, wire::FirstBlock};
use tokio::sync::Notify;

use super::{Next, Reactor, connections::Connections, task_queue::Mail};
use crate::{
    config::{Config, Settings},
    detach::{Detached, Seat},
    observe::metrics::Counters,
    places::Places,
};

const LARGE: usize = 400;

/// A reactor without a thread.
struct Stepped {
    reactor: Arc<Reactor>,
    hub: Hub,
    events: Vec<epoll::Event>,
    mail: Mail,
}

impl Stepped {
    fn new() -> Self {
        let reactor = Arc::new(Reactor::new(Arc::new(Notify::new())).unwrap());
        let config = Config::from_settings(&Settings::default()).unwrap();
        let taps = ReaderGroups::new(reactor.clone());
        let connections =
            Connections::new(taps, reactor.epoll.clone(), reactor.inbox.clone(), &config, Arc::<Counters>::default());
        *reactor.connections.lock() = Some(connections);
        Self { reactor, hub: Hub::new(), events: Vec::with_capacity(16), mail: Mail::default() }
    }

    /// A client whose stream is on its way to the reactor.
    fn join(&self, listener: &TcpListener, channel: &str) -> TcpStream {
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_nonblocking(true).unwrap();
        let (socket, _) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut subscription = self.hub.subscribe([channel], Start::Live).unwrap();
        subscription.first_block(FirstBlock::default());
        let places = Places::new(&Config::from_settings(&Settings::default()).unwrap(), Arc::default());
        let seat = Seat { _place: places.take_now(), _kept: None };
        let sent_at = tokio::time::Instant::now();
        let detached = Detached {
            socket,
            unwritten: bytes::Bytes::new(),
            subscription,
            sent_at,
            ends_at: None,
            chunked: true,
            seat,
        };
        self.reactor.inbox.adopt(detached, self.reactor.members.join());
        client
    }

    fn step(&mut self) {
        assert!(matches!(self.reactor.work(&mut self.events, &mut self.mail), Next::Wait(_)));
    }

    /// Publishes while the reactor is at work, so that nobody else writes to its sockets.
    fn publish(&self, channels: &[&str]) {
        let _at_work = self.reactor.connections.lock();
        for channel in channels {
            self.hub.publish_now(*channel, Event::text("an event")).unwrap();
        }
    }
}

/// How many have something to read.
fn reached(clients: &mut [TcpStream]) -> usize {
    let mut room = [0; 4096];
    clients.iter_mut().filter_map(|client| client.read(&mut room).ok()).filter(|read| *read > 0).count()
}

/// Only some of a large channel's readers are served before another channel has its turn, also where the large one has
/// news at every turn.
#[tokio::test]
async fn a_large_channel_does_not_hold_up_a_small_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut stepped = Stepped::new();
    let mut large: Vec<_> = (0..LARGE).map(|_| stepped.join(&listener, "large")).collect();
    let mut small: Vec<_> = (0..2).map(|_| stepped.join(&listener, "small")).collect();
    stepped.step();

    stepped.publish(&["large", "small"]);
    stepped.step();
    let first = reached(&mut large);
    assert!((1..LARGE).contains(&first), "{first} at one turn");
    stepped.publish(&["large"]);
    stepped.step();
    assert_eq!(reached(&mut small), 2, "the small one waited for the large one");

    for _ in 0..20 {
        stepped.publish(&["large", "small"]);
        stepped.step();
        stepped.step();
        assert_eq!(reached(&mut small), 2);
    }
    // Nor is the large one forgotten.
    while stepped.reactor.connections.lock().as_ref().is_some_and(Connections::has_work) {
        stepped.step();
    }
    reached(&mut large);
    stepped.publish(&["large"]);
    for _ in 0..LARGE {
        stepped.step();
    }
    assert_eq!(reached(&mut large), LARGE);
}
