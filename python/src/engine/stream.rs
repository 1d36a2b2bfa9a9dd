//! A subscription as an object that is drained: bytes for a socket, or events one by one.
//!
//! It never waits. `fileno()` becomes readable when there is something, or a selector tells its number; whoever has
//! drained it until there was nothing may wait for that.

use std::{
    future::Future as _,
    mem::ManuallyDrop,
    os::fd::RawFd,
    pin::pin,
    process,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use parking_lot::Mutex;
use pyo3::{prelude::*, types::PyBytes};
use tidecast::{
    Batch, Delivery, Error, Start, Subscription,
    limits::READ_BYTES_DEFAULT,
    wire::{FirstBlock, IdCommit, final_block},
};

use crate::{
    engine::process_hub::ProcessHub, error::raise, notify::selector::Selector, notify::stream_waker::StreamWaker,
    shutdown::Process,
};

/// See `_native.pyi`.
#[pyclass(frozen, module = "tidecast._native")]
pub(crate) struct Stream {
    pid: u32,
    waker: Arc<StreamWaker>,
    /// `None` once it has ended. In the child of a fork it is the parent's, and left as it is.
    reading: ManuallyDrop<Mutex<Option<Reading>>>,
}

/// What reads.
struct Reading {
    subscription: Subscription,
    process: Arc<Process>,
    number: u64,
    waker: Waker,
    batch: Batch,
    first: Option<FirstBlock>,
    /// Whether the last block was handed out.
    ended: bool,
}

/// An event as a tuple: channel, type, data, whether that is JSON, own id, reconnection time in milliseconds.
type Told = (String, Option<String>, String, bool, Option<String>, Option<u64>);

impl Stream {
    pub(crate) fn open(
        node: &Arc<ProcessHub>,
        channels: Vec<String>,
        start: Start,
        first: FirstBlock,
    ) -> PyResult<Self> {
        let subscription = node.hub().subscribe(channels, start).map_err(raise)?;
        node.sweep()?;
        let process = Process::present()?;
        let waker = Arc::<StreamWaker>::default();
        let reading = Reading {
            subscription,
            number: process.streams.enter(&waker),
            process,
            waker: waker.clone().into(),
            batch: Batch::new(),
            first: Some(first),
            ended: false,
        };
        Ok(Self { pid: node.pid(), waker, reading: ManuallyDrop::new(Mutex::new(Some(reading))) })
    }

    /// What reads, unless it has ended or is another process'.
    fn with<T>(&self, read: impl FnOnce(&mut Reading) -> Option<T>) -> Option<T> {
        if self.pid != process::id() {
            return None;
        }
        let mut slot = self.reading.lock();
        let answer = slot.as_mut().and_then(|reading| {
            self.waker.clear();
            read(reading)
        });
        if answer.is_none() {
            *slot = None;
        }
        answer
    }

    fn leave(&self) {
        self.with(|_| None::<()>);
    }
}

#[pymethods]
impl Stream {
    /// What is sent when there was nothing to send for a while.
    #[classattr]
    const KEEP_ALIVE: &'static [u8] = b":\n";

    fn fileno(&self) -> PyResult<RawFd> {
        // In a child its lock may have been taken for ever.
        if self.pid != process::id() {
            return Err(raise(Error::closed()));
        }
        Ok(self.waker.fileno()?)
    }

    fn select(&self, selector: &Selector, number: u64) {
        if self.pid == process::id() {
            self.waker.select(selector.ready(), number);
        }
    }

    // Attached to the interpreter: it copies some 64 KiB, and coming back may take longer than that.
    fn drain<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        self.with(|reading| reading.drain(py).transpose()).transpose()
    }

    #[pyo3(signature = (events_max=256))]
    fn events(&self, events_max: usize) -> Option<Vec<Told>> {
        self.with(|reading| reading.events(events_max))
    }

    fn cursor(&self) -> Option<String> {
        // Past `with`, which takes back that there is something: this does not look for it.
        let slot = (self.pid == process::id()).then(|| self.reading.lock())?;
        slot.as_ref().map(|reading| reading.subscription.cursor().to_string())
    }

    fn close(&self) {
        self.leave();
        // Whoever waits for it, in whichever thread, is to see that it has ended. In a child that would be its parent.
        if self.pid == process::id() {
            self.waker.set();
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.leave();
    }
}

// === impl Reading ===

impl Reading {
    /// All that is ready, up to 64 KiB and what the last frame has beyond; empty for nothing, `None` at the end.
    fn drain<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(PyBytes::new(py, &self.subscription.first_block(first))));
        }
        if self.ended {
            return Ok(None);
        }
        // Before it is looked for, so that what was published before is sent.
        let ending = self.process.streams.is_ending();
        let mut context = Context::from_waker(&self.waker);
        match self.subscription.poll_batch(&mut context, &mut self.batch, READ_BYTES_DEFAULT) {
            Poll::Ready(true) => {
                let bytes = PyBytes::new_with(py, self.batch.len(), |mut room| {
                    for part in self.batch.parts() {
                        let (here, rest) = room.split_at_mut(part.len());
                        here.copy_from_slice(part);
                        room = rest;
                    }
                    Ok(())
                });
                // The log's memory is not kept until the next time.
                self.batch.clear();
                bytes.map(Some)
            }
            Poll::Pending if !ending => {
                self.batch.release();
                Ok(Some(PyBytes::new(py, b"")))
            }
            Poll::Ready(false) | Poll::Pending => {
                self.ended = true;
                let retry = Duration::from_millis(fastrand::u64(END_RETRY_MS));
                Ok(Some(PyBytes::new(py, &final_block(retry))))
            }
        }
    }

    /// The events that are ready, up to so many; none for nothing, `None` at the end.
    fn events(&mut self, events_max: usize) -> Option<Vec<Told>> {
        let ending = self.process.streams.is_ending();
        let mut context = Context::from_waker(&self.waker);
        let mut events = Vec::new();
        while events.len() < events_max.max(1) {
            match pin!(self.subscription.next()).poll(&mut context) {
                Poll::Ready(Some(delivery)) => events.push(told(&delivery)),
                Poll::Ready(None) => return Some(events).filter(|events| !events.is_empty()),
                Poll::Pending => return Some(events).filter(|events| !ending || !events.is_empty()),
            }
        }
        Some(events)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.process.streams.leave(self.number);
    }
}

/// See `_native.pyi`.
#[pyfunction]
pub(crate) fn commits_at_empty_line(
    cache_control: Option<&str>,
    user_agent: Option<&str>,
    fetch_mode: Option<&str>,
) -> bool {
    let [cache_control, user_agent, fetch_mode] =
        [cache_control, user_agent, fetch_mode].map(|value| value.map(str::as_bytes));
    IdCommit::of_request(cache_control, user_agent, fetch_mode) == IdCommit::EmptyLine
}

fn told(delivery: &Delivery) -> Told {
    match delivery {
        Delivery::Event(delivered) => {
            let event = delivered.event();
            let retry = event.retry().and_then(|retry| u64::try_from(retry.as_millis()).ok());
            (
                delivered.channel.to_string(),
                event.event_type().map(ToString::to_string),
                event.data().to_owned(),
                event.data_json().is_some(),
                event.id().map(ToString::to_string),
                retry,
            )
        }
        Delivery::Reset(reset) => {
            let channel = reset.channel.to_string();
            let data = serde_json::json!({
                "channel": channel,
                "reason": reset.reason.as_str(),
                "resumed_at": reset.resumed_at.to_string(),
            });
            (channel, Some(tidecast::STREAM_RESET.to_owned()), data.to_string(), true, None, None)
        }
    }
}

/// From which the time is drawn after which a client is to come back, so that not all do in one moment.
const END_RETRY_MS: std::ops::RangeInclusive<u64> = 1000..=5000;
