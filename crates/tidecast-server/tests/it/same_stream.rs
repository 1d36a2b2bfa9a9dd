//! The bytes of a stream are the same whether a reactor or hyper writes them. Two hubs, one of each kind, follow the
//! same random schedules, and the bytes that their clients read are compared.
//!
//! Epochs are random, so each is replaced by the number of its first appearance. Streams of several channels may
//! interleave a backlog in any way, so their channels are compared separately.

mod names;
mod session;

use std::collections::HashMap;

use fastrand::Rng;
use serde_json::{Value, json};
use tidecast::wire::Item;
use tidecast_test::{BROWSER_HEADERS, EventStream, HttpConnection, HubProcess, Signal, request_bytes, soak_factor};

use self::{
    names::EpochNumbers,
    session::{Session, is_reset_of},
};
use crate::TIDECAST;

const SCHEDULES: u64 = 4;
const STEPS: usize = 70;
const SESSIONS_MAX: usize = 8;
const CHANNELS: [&str; 3] = ["a", "b", "c"];

/// The two hubs and their clients.
struct Pair {
    hubs: [HubProcess; 2],
    random: Rng,
    open: Vec<Session>,
    closed: Vec<Session>,
    /// The number of events so far, which each event has in its data.
    count: usize,
    /// The newest event of each channel.
    newest: HashMap<&'static str, String>,
}

#[tokio::test]
async fn reactor_and_hyper_write_the_same_streams() {
    for seed in 0..SCHEDULES * u64::from(soak_factor()) {
        println!("schedule {seed}");
        let mut pair = Pair::start(seed);
        for _ in 0..STEPS {
            pair.step().await;
        }
        pair.end().await;
    }
}

impl Pair {
    fn start(seed: u64) -> Self {
        // Small socket buffers interrupt writes.
        let send_buffer = if seed.is_multiple_of(2) { "4KiB" } else { "128KiB" };
        let given =
            ["--keep-alive", "0", "--stall-timeout", "10m", "--stop-timeout", "10m", "--send-buffer", send_buffer];
        let bodies = [&given[..], &["--reactors", "0"]].concat();
        Self {
            hubs: [TIDECAST.serve(&given), TIDECAST.serve(&bodies)],
            random: Rng::with_seed(seed),
            open: Vec::new(),
            closed: Vec::new(),
            count: 0,
            newest: HashMap::new(),
        }
    }

    async fn step(&mut self) {
        match self.random.u32(..100) {
            0..50 => {
                let channel = self.channel();
                let events = if self.random.u32(..4) == 0 { self.random.usize(2..20) } else { 1 };
                self.publish(channel, events).await;
            }
            50..70 if self.open.len() < SESSIONS_MAX => self.connect().await,
            70..84 if !self.open.is_empty() => {
                let at = self.random.usize(..self.open.len());
                self.cut(at).await;
            }
            84..90 => {
                let channel = self.channel();
                self.delete(channel).await;
            }
            _ => {
                let (messages, piece) = (self.random.usize(..5), self.random.usize(1..3_000));
                for session in self.open.iter_mut().filter(|session| session.slow && session.exact) {
                    session.read_some(messages, piece, &self.newest).await;
                }
            }
        }
    }

    fn channel(&mut self) -> &'static str {
        CHANNELS[self.random.usize(..CHANNELS.len())]
    }

    /// Returns an event with its number, of any size and shape.
    fn event(&mut self, channel: &'static str) -> Value {
        self.count += 1;
        let name = format!("{channel}{}", self.count);
        let size = match self.random.u32(..10) {
            0 => 0,
            1..5 => self.random.usize(1..200),
            5..9 => self.random.usize(200..5_000),
            _ => self.random.usize(5_000..70_000),
        };
        // No text may look like an epoch.
        let filler: String =
            (0..size).map(|_| self.random.choice(*b"ghijklm \nnopq").map_or('z', char::from)).collect();
        let mut event = json!({ "channel": channel });
        if size == 0 {
            event["data"] = "".into();
            event["type"] = name.as_str().into();
        } else if self.random.bool() {
            event["data"] = json!({ "n": name, "with": filler });
        } else {
            event["data"] = format!("{name}|{filler}").into();
            if self.random.bool() {
                event["type"] = "other".into();
            }
        }
        if self.random.u32(..4) == 0 {
            event["id"] = format!("own-{name}").into();
        }
        self.newest.insert(channel, name);
        event
    }

    /// Publishes to both hubs. Clients that read at once then read the events, so that both hubs are in the same state
    /// again.
    async fn publish(&mut self, channel: &'static str, events: usize) {
        let events: Vec<_> = (0..events).map(|_| self.event(channel)).collect();
        let body = Value::from(events).to_string();
        let mut receivers = Vec::new();
        for hub in &self.hubs {
            let response = hub.publish(&body).await;
            receivers.push(
                response.as_array().map(|all| all.iter().map(|one| one["receivers"].clone()).collect::<Vec<_>>()),
            );
        }
        assert_eq!(receivers[0], receivers[1]);
        for session in self.open.iter_mut().filter(|session| !session.slow) {
            session.catch_up(channel, &self.newest).await;
        }
    }

    async fn connect(&mut self) {
        let mut channels = CHANNELS.to_vec();
        self.random.shuffle(&mut channels);
        channels.truncate(if self.random.bool() { 1 } else { self.random.usize(2..=3) });
        let (mut target, mut live) = (String::new(), true);
        match self.random.u32(..8) {
            0..2 => {
                target = format!("&last={}", self.random.usize(..20));
                live = false;
            }
            2 => target = "&open=1".into(),
            3 => target = "&last_event_id=never-heard-of".into(),
            _ => {}
        }
        let slow = self.random.u32(..5) < 2;
        self.open_session(channels, &target, slow, live, [None, None]).await;
    }

    async fn open_session(
        &mut self,
        channels: Vec<&'static str>,
        query: &str,
        slow: bool,
        live: bool,
        resume: [Option<String>; 2],
    ) {
        let named: Vec<_> = channels.iter().map(|channel| format!("channel={channel}")).collect();
        let target = format!("/stream?{}{query}", named.join("&"));
        let is_browser = self.random.bool();
        let mut streams = Vec::new();
        for (hub, id) in self.hubs.iter().zip(&resume) {
            let mut connection = if slow {
                HttpConnection::open_with_receive_buffer(hub.address, 4_096).await
            } else {
                HttpConnection::open(hub.address).await
            };
            let id = id.as_ref().map(|id| ("Last-Event-ID", id.as_str()));
            let headers = [if is_browser { BROWSER_HEADERS } else { &[] }, id.as_slice()].concat();
            connection.send(&request_bytes(hub.address, "GET", &target, &headers, b"")).await;
            let mut stream = EventStream::read_head(connection).await.keep_all();
            stream.until_live().await;
            streams.push(stream);
        }
        let exact = channels.len() == 1 || live && !slow;
        let session = Session {
            channels: channels.clone(),
            slow,
            exact,
            streams,
            taken: Default::default(),
            bodies: Default::default(),
            messages_max: usize::MAX,
        };
        self.open.push(session);
        // From here on the client has received everything before.
        for channel in channels {
            self.publish(channel, 1).await;
        }
    }

    /// Cuts a client's connection and reconnects at once or later.
    async fn cut(&mut self, at: usize) {
        let mut session = self.open.swap_remove(at);
        if session.slow && session.exact {
            let messages = self.random.usize(..8);
            session.read_some(messages, 777, &self.newest).await;
            session.messages_max = session.messages(0).count();
        } else {
            for channel in session.channels.clone() {
                session.catch_up(channel, &self.newest).await;
            }
        }
        let (channels, slow) = (session.channels.clone(), session.slow);
        let ids = session.ids();
        self.close(session);
        for hub in &self.hubs {
            hub.until_metric("tidecast_subscriptions", self.open.len() as u64).await;
        }
        for _ in 0..self.random.usize(..3) {
            let channel = self.channel();
            self.publish(channel, 2).await;
        }
        let query = if self.random.bool() { "&last=3" } else { "" };
        self.open_session(channels, query, slow, false, ids).await;
    }

    /// Deletes a channel after its readers have read all of it, as how much of the rest they would receive depends on
    /// timing.
    async fn delete(&mut self, channel: &'static str) {
        for session in self.open.iter_mut().filter(|session| session.channels.contains(&channel)) {
            session.catch_up(channel, &self.newest).await;
        }
        let mut statuses = Vec::new();
        for hub in &self.hubs {
            statuses.push(hub.request("DELETE", &format!("/channels/{channel}"), &[], b"").await.head.status);
        }
        assert_eq!(statuses[0], statuses[1]);
        self.newest.remove(channel);
        if statuses[0] != 204 {
            return;
        }
        for session in self.open.iter_mut().filter(|session| session.channels.contains(&channel)) {
            for which in 0..2 {
                session.read_until(which, |message| is_reset_of(message, channel)).await;
            }
        }
    }

    fn close(&mut self, mut session: Session) {
        for (which, mut stream) in session.streams.drain(..).enumerate() {
            session.taken[which].extend(std::iter::from_fn(|| stream.take_item()));
            session.bodies[which] = stream.body;
        }
        self.closed.push(session);
    }

    async fn end(mut self) {
        assert!(self.hubs[0].metric("tidecast_connections_detached_total").await > 0);
        assert_eq!(self.hubs[1].metric("tidecast_connections_detached_total").await, 0);
        for hub in &self.hubs {
            assert_eq!(hub.metric("tidecast_resets_total{reason=\"too-slow\"}").await, 0);
            hub.signal(Signal::TERM);
        }
        for mut session in std::mem::take(&mut self.open) {
            for (stream, taken) in session.streams.iter_mut().zip(&mut session.taken) {
                taken.extend(stream.rest().await);
                assert!(matches!(taken.pop(), Some(Item::Retry(_))), "the last word is when to come back");
                let last = stream.body.windows(7).rposition(|window| window == b"retry: ").expect("it is in the body");
                stream.body.truncate(last);
            }
            self.close(session);
        }
        for hub in &mut self.hubs {
            assert!(hub.ended().await.0.success());
        }
        let mut names = [EpochNumbers::default(), EpochNumbers::default()];
        for session in &self.closed {
            session.compare(&mut names);
        }
    }
}
