//! The counted cases. A case of the engine repeats its operation as a program would.

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

use crate::publisher::{BATCH, Form, Requests, Way};

/// A case with two numbers of repetitions, of which the difference is counted.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) times: [u64; 2],
    /// The number of operations of one repetition.
    pub(crate) operations: u64,
    pub(crate) run: Run,
}

/// The program of a case.
pub(crate) enum Run {
    /// This program, with the number of repetitions.
    Engine(fn(u64) -> Result<()>),
    /// The hub, with these further arguments and requests.
    Hub(&'static [&'static str], Requests),
}

/// More events than a log retains, so that every further event removes the oldest.
const FULL: u64 = 11_000;

/// Readers of one channel.
const READERS: u64 = 64;

/// The number of bytes that a reader receives at once.
const BYTES_MAX: usize = 64 * 1024;

pub(crate) const ALL: [Case; 16] = [
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
        name: "group-read",
        what: "an event published, notified, and read once for all readers of a group",
        times: [FULL, FULL + 10_000],
        operations: 1,
        run: Run::Engine(group_read),
    },
    Case {
        name: "http",
        what: "a POST /publish with 64 bytes as JSON, 16 at once on one connection",
        times: [1_600, 8_000],
        operations: 1,
        run: Run::Hub(&[], Requests { form: Form::Json, headers: "", way: Way::AtOnce }),
    },
    Case {
        name: "http-asked",
        what: "a POST /publish one by one, each body after `100 Continue`",
        times: [1_600, 8_000],
        operations: 1,
        run: Run::Hub(&[], Requests { form: Form::Json, headers: "Expect: 100-continue\r\n", way: Way::Asked }),
    },
    Case {
        name: "http-batch",
        what: "an event of a batch of 16",
        times: [160, 800],
        operations: BATCH,
        run: Run::Hub(&[], Requests { form: Form::Batch, headers: "", way: Way::AtOnce }),
    },
    Case {
        name: "http-cors",
        what: "a POST /publish of a page of an allowed origin",
        times: [1_600, 8_000],
        operations: 1,
        run: Run::Hub(
            &["--cors-origin", "https://app.example"],
            Requests { form: Form::Json, headers: "Origin: https://app.example\r\n", way: Way::AtOnce },
        ),
    },
    Case {
        name: "http-form",
        what: "a POST /publish with 64 bytes as a form",
        times: [1_600, 8_000],
        operations: 1,
        run: Run::Hub(&[], Requests { form: Form::Pairs, headers: "", way: Way::AtOnce }),
    },
    Case {
        name: "http-hyper",
        what: "a POST /publish that hyper has to read",
        times: [1_600, 8_000],
        operations: 1,
        run: Run::Hub(&[], Requests { form: Form::Json, headers: "Expect: nothing\r\n", way: Way::AtOnce }),
    },
    Case {
        name: "http-last",
        what: "a POST /publish on a connection of its own, with `Connection: close`",
        times: [160, 480],
        operations: 1,
        run: Run::Hub(&[], Requests { form: Form::Json, headers: "Connection: close\r\n", way: Way::NewConnection }),
    },
    Case {
        name: "http-new",
        what: "a POST /publish on a new connection",
        times: [160, 480],
        operations: 1,
        run: Run::Hub(&[], Requests { form: Form::Json, headers: "", way: Way::NewConnection }),
    },
    Case {
        name: "http-new-2",
        what: "the same, head and body apart",
        times: [160, 480],
        operations: 1,
        run: Run::Hub(&[], Requests { form: Form::Json, headers: "", way: Way::NewConnectionInTwo }),
    },
    Case {
        name: "http-one",
        what: "a POST /publish after the response to the one before",
        times: [1_600, 8_000],
        operations: 1,
        run: Run::Hub(&[], Requests { form: Form::Json, headers: "", way: Way::OneByOne }),
    },
    Case {
        name: "http-origin",
        what: "a POST /publish of a page of the hub's own",
        times: [1_600, 8_000],
        operations: 1,
        run: Run::Hub(&[], Requests { form: Form::Json, headers: "Origin: http://HUB\r\n", way: Way::AtOnce }),
    },
    Case {
        name: "http-text",
        what: "a POST /publish with 64 bytes as text, and a query",
        times: [1_600, 8_000],
        operations: 1,
        run: Run::Hub(&[], Requests { form: Form::Text, headers: "", way: Way::AtOnce }),
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

/// Reads until nothing more is ready, as a writer to a socket does.
fn read(subscription: &mut Subscription, batch: &mut Batch) -> Result<()> {
    let mut context = Context::from_waker(Waker::noop());
    let mut bytes = 0;
    while let Poll::Ready(open) = subscription.poll_batch(&mut context, batch, BYTES_MAX) {
        ensure!(open.is_some(), "the hub is closed");
        bytes += black_box(batch.len());
    }
    ensure!(bytes > 0, "nothing was delivered");
    Ok(())
}

fn group_read(times: u64) -> Result<()> {
    struct NoWaker;

    impl GroupWaker for NoWaker {
        fn wake(&self, key: u32) {
            black_box(key);
        }
    }

    let (hub, channel) = (Hub::new(), Channel::default());
    let mut groups = ReaderGroups::new(Arc::new(NoWaker));
    let mut subscription = hub.subscribe([&channel], Start::Live)?;
    subscription.first_block(tidecast::wire::FirstBlock::default());
    let Ok((key, mut cursor)) = groups.attach(subscription) else { bail!("the subscription cannot join a group") };
    for _ in 0..times {
        hub.publish_now(&channel, event())?;
        cursor = read_group(&groups, key, cursor)?;
    }
    Ok(())
}

fn read_group(groups: &ReaderGroups, key: u32, cursor: LogCursor) -> Result<LogCursor> {
    let GroupRead::Frames { bytes, next, count } = groups.read(key, cursor, BYTES_MAX) else {
        bail!("nothing was delivered")
    };
    groups.count_delivered(key, count.into(), bytes.len() as u64);
    black_box(bytes);
    Ok(next)
}

fn event() -> Event {
    Event::text(black_box("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"))
}
