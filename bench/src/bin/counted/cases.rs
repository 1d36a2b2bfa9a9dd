//! What is counted. A case of the engine does its operation some number of times, as a program would.

use std::{
    hint::black_box,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use anyhow::{Result, bail, ensure};
use tidecast::{
    Batch, Channel, Event, Hub, Start, Subscription,
    internals::{GroupRead, GroupWaker, LogCursor, ReaderGroups},
};

/// A case, with two numbers of times whose difference is what is counted.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) times: [u64; 2],
    /// Operations of one time.
    pub(crate) operations: u64,
    pub(crate) run: Run,
}

/// Who does a case's operation.
pub(crate) enum Run {
    /// This program, so many times.
    Engine(fn(u64) -> Result<()>),
    /// The hub, published to at this target.
    Hub(&'static str),
}

/// More events than a log keeps, so that from there on the oldest goes with each.
const FULL: u64 = 11_000;

/// Readers of one channel.
const READERS: u64 = 64;

/// As much as a reader may be given at once.
const BYTES_MAX: usize = 64 * 1024;

pub(crate) const ALL: [Case; 6] = [
    Case {
        name: "publish",
        what: "an event of 64 bytes made, encoded and appended to a full log",
        times: [FULL, FULL + 10_000],
        operations: 1,
        run: Run::Engine(publish),
    },
    Case {
        name: "deliver",
        what: "the same, and read as a batch by one subscription",
        times: [FULL, FULL + 10_000],
        operations: 1,
        run: Run::Engine(|times| deliver(times, 1)),
    },
    Case {
        name: "fan-out",
        what: "a delivery, where 64 subscriptions read the same event",
        times: [500, 1_500],
        operations: READERS,
        run: Run::Engine(|times| deliver(times, READERS)),
    },
    Case {
        name: "tap",
        what: "an event published, rung, and read once for all that stand at its spot",
        times: [FULL, FULL + 10_000],
        operations: 1,
        run: Run::Engine(tap),
    },
    Case {
        name: "http",
        what: "a POST /publish with 64 bytes as JSON, 16 at once on one connection",
        times: [1_600, 8_000],
        operations: 1,
        run: Run::Hub("/publish"),
    },
    Case {
        name: "http-hyper",
        what: "the same, in a form that hyper has to read",
        times: [1_600, 8_000],
        operations: 1,
        // A query, even an empty one, is none of the plain publishes.
        run: Run::Hub("/publish?"),
    },
];

impl Case {
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|case| case.name == name)
    }
}

fn publish(times: u64) -> Result<()> {
    let (hub, channel) = (Hub::new(), Channel::default());
    for _ in 0..times {
        black_box(hub.publish_now(&channel, event())?);
    }
    Ok(())
}

fn deliver(times: u64, readers: u64) -> Result<()> {
    let (hub, channel) = (Hub::new(), Channel::default());
    let mut subscriptions = Vec::new();
    for _ in 0..readers {
        subscriptions.push(hub.subscribe([&channel], Start::Live)?);
    }
    let mut batch = Batch::default();
    for _ in 0..times {
        hub.publish_now(&channel, event())?;
        for subscription in &mut subscriptions {
            read(subscription, &mut batch)?;
        }
    }
    Ok(())
}

/// Reads until there is nothing more, as whoever writes to a socket does.
fn read(subscription: &mut Subscription, batch: &mut Batch) -> Result<()> {
    let mut context = Context::from_waker(Waker::noop());
    let mut bytes = 0;
    while let Poll::Ready(open) = subscription.poll_batch(&mut context, batch, BYTES_MAX) {
        ensure!(open, "the hub is closed");
        bytes += black_box(batch.len());
    }
    ensure!(bytes > 0, "nothing was delivered");
    Ok(())
}

fn tap(times: u64) -> Result<()> {
    struct NoWaker;

    impl GroupWaker for NoWaker {
        fn wake(&self, key: u32) {
            black_box(key);
        }
    }

    let (hub, channel) = (Hub::new(), Channel::default());
    let mut taps = ReaderGroups::new(Arc::new(NoWaker));
    let mut subscription = hub.subscribe([&channel], Start::Live)?;
    subscription.first_block(tidecast::wire::FirstBlock::default());
    let Ok((key, mut spot)) = taps.attach(subscription) else { bail!("it can't stand at a tap") };
    for _ in 0..times {
        hub.publish_now(&channel, event())?;
        spot = read_tap(&taps, key, spot)?;
    }
    Ok(())
}

fn read_tap(taps: &ReaderGroups, key: u32, spot: LogCursor) -> Result<LogCursor> {
    let GroupRead::Frames { bytes, next, count } = taps.read(key, spot, BYTES_MAX) else {
        bail!("nothing was delivered")
    };
    taps.count_delivered(key, count.into(), bytes.len() as u64);
    black_box(bytes);
    Ok(next)
}

fn event() -> Event {
    Event::text(black_box("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"))
}
