//! Where events get their positions: in memory here, on Redis in a crate of its own.
//!
//! A broker passes what arrives to the [`Deliveries`] that it was started with. It does not know the hub.

mod control_message;
mod deliveries;
mod history;
mod memory;
mod metric;
mod publication;

use std::{fmt, future::Future, pin::Pin};

pub(crate) use self::control_message::ControlMessage;
pub use self::{
    deliveries::Deliveries,
    history::{BackfillLimits, FoundId, History, PastEvent, Since},
    memory::MemoryBroker,
    metric::{Alert, Metric, MetricValue},
    publication::{Publication, Published},
};
use crate::{Channel, Position, Result, limits::BACKFILL_PAGE_EVENTS};
pub use crate::{
    channel_log::{AppendOutcome, Appended, Head},
    wire::frame::EncodedEvent,
};

/// The future of a broker's answer.
pub type BrokerFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Assigns positions to events, carries them to the other nodes, and keeps the history.
///
/// The contract, which the functions of the module `conformance` test (feature `conformance`):
///
/// - **Publishing.** [`publish`](Self::publish) returns after the event is accepted, with its position. The offsets of a
///   channel grow by 1 within an epoch. A publish under an idempotency key that was used in the channel returns the first
///   result, reports with [`Published::differs`] whether the first event was a different one, and delivers nothing. Of two
///   such publishes at once, the second waits for the first.
/// - **Delivery.** Every accepted event of a channel that has readers reaches [`Deliveries`] exactly once, in the order of
///   the positions, without holes. A broker fills a gap before it goes on. If it can't, it says so with
///   [`Deliveries::open_at`]. Events that were published past Tidecast have no position and may come between.
/// - **Order.** Order is kept per channel. Between channels nothing is promised.
/// - **Waiting.** A publisher of one channel never waits for a publisher of another. [`subscribe`](Self::subscribe),
///   [`release`](Self::release) and [`close`](Self::close) never wait.
/// - **Cancelling.** A future may be dropped at any point. A dropped publish was accepted or was not; repeating it under an
///   idempotency key is safe.
pub trait Broker: fmt::Debug + Send + Sync + 'static {
    /// Starts the broker, with the handle that it delivers to. Called once, before anything else.
    fn start(&self, deliveries: Deliveries);

    /// Publishes an event.
    ///
    /// # Errors
    ///
    /// [`Error::is_unavailable`](crate::Error::is_unavailable) if the broker could not be reached. If the event may have
    /// been accepted all the same, [`Error::is_in_doubt`](crate::Error::is_in_doubt) too.
    fn publish(&self, publication: Publication) -> BrokerFuture<'_, Published>;

    /// Publishes without waiting. Returns `None`, at every call, if this broker may have to wait. Default: `None`.
    ///
    /// # Errors
    ///
    /// Those of [`publish`](Self::publish).
    fn publish_now(&self, _publication: &Publication) -> Option<Result<Published>> {
        None
    }

    /// Tells the broker that the channel has a reader on this node.
    ///
    /// As soon as no event after the channel's head can be missed, the broker calls [`Deliveries::open`] if the log assigns
    /// the positions, else [`Deliveries::go_live`]. In memory it does so before it returns. Until then the readers wait.
    fn subscribe(&self, channel: &Channel);

    /// Tells the broker that the channel's last reader on this node has been gone for a second.
    ///
    /// Another reader may have come since. A broker that wants to stop listening must ask
    /// [`Deliveries::suspend_if_unread`] first.
    fn release(&self, channel: &Channel);

    /// Reads up to `limit` past events, oldest first and without holes. `limit` is at least 1.
    ///
    /// The broker may return fewer events than there are, so that a page of large ones stays small, but not none.
    ///
    /// # Errors
    ///
    /// [`Error::is_unavailable`](crate::Error::is_unavailable) if the broker could not be reached.
    fn history<'a>(&'a self, channel: &'a Channel, since: Since, limit: usize) -> BrokerFuture<'a, History>;

    /// Returns how much of the broker's history a reader gets that its node's log can't serve, before it is told that
    /// events are missing. Called once, when the hub is built.
    ///
    /// Default: `None`, for a broker whose history reaches no further back than the log.
    fn backfill_limits(&self) -> Option<BackfillLimits> {
        None
    }

    /// Reads the history for a reader that the log can't serve. Unlike [`history`](Self::history), it waits until the
    /// broker can be reached again.
    ///
    /// It is also called for a position that this node has not heard of, because another node may have.
    ///
    /// # Errors
    ///
    /// [`Error::is_closed`](crate::Error::is_closed) once the broker is closed. After any other error the reader is told
    /// that events are missing.
    fn backfill<'a>(&'a self, channel: &'a Channel, since: Since, limit: usize) -> BrokerFuture<'a, History> {
        self.history(channel, since, limit)
    }

    /// Finds the oldest event with a publisher's own id, for a reader that returns with that id. `tail` is the position
    /// before this node's log: the events up to and including it are in the history only. The engine searches the log for
    /// the later ones.
    ///
    /// The default reads [`backfill`](Self::backfill) up to `tail`, within [`backfill_limits`](Self::backfill_limits).
    /// Clients choose the id, and each search may cost as much, so a broker should bound the number of concurrent searches.
    ///
    /// # Errors
    ///
    /// As [`backfill`](Self::backfill).
    fn find_id<'a>(&'a self, channel: &'a Channel, id: &'a str, tail: Position) -> BrokerFuture<'a, Option<FoundId>> {
        Box::pin(async move {
            let (mut after, mut found) = (Position::START, None);
            let BackfillLimits { events_max: mut left, bytes_max: mut bytes_left } =
                self.backfill_limits().unwrap_or_default();
            // The log of a node that has run for a while begins where the history does: a few events show it.
            let mut limit = 16;
            while left > 0 && bytes_left > 0 {
                let page = self.backfill(channel, Since::After(after), limit.min(left)).await?;
                let Some(last) = page.events.last() else { return Ok(found) };
                after = last.position;
                for past in page.events.iter().take_while(|past| past.position.offset <= tail.offset) {
                    if past.event.id().is_some_and(|own| own.as_str() == id) {
                        match &mut found {
                            None => found = Some(FoundId::new(past.position, false)),
                            Some(found) => found.is_repeated = true,
                        }
                    }
                }
                if after.offset >= tail.offset {
                    return Ok(found);
                }
                left = left.saturating_sub(page.events.len());
                let bytes: usize = page.events.iter().map(|past| past.event.data().len()).sum();
                bytes_left = bytes_left.saturating_sub(bytes);
                limit = BACKFILL_PAGE_EVENTS;
            }
            // The rest of the history may have others.
            Ok(found.map(|found| FoundId { is_repeated: true, ..found }))
        })
    }

    /// Deletes a channel. Its positions start over in another epoch, and its readers are told `restarted`. Returns whether
    /// the channel was known.
    ///
    /// # Errors
    ///
    /// [`Error::is_unavailable`](crate::Error::is_unavailable) if the broker could not be reached.
    fn forget<'a>(&'a self, channel: &'a Channel) -> BrokerFuture<'a, bool>;

    /// Sends a control message to every node, this one included. Each node passes it to its [`Deliveries::control`].
    ///
    /// The message is opaque to the broker. It has at most [`CONTROL_BYTES_MAX`](crate::limits::CONTROL_BYTES_MAX) bytes.
    /// A node that is disconnected misses it. A node may receive it more than once, and in any order with events and other
    /// messages. So a message may speed something up, but nothing may rely on it alone.
    ///
    /// The future is ready once the broker has taken the message. Senders await it and nothing is queued here, so the
    /// broker's bound on concurrent calls is the bound on messages.
    ///
    /// # Errors
    ///
    /// [`Error::is_unavailable`](crate::Error::is_unavailable) if the broker could not be reached. The message is not sent
    /// again.
    fn send_control<'a>(&'a self, message: &'a [u8]) -> BrokerFuture<'a, ()>;

    /// Checks that a publish would be accepted now, as `/readyz` of the hub reports it.
    ///
    /// # Errors
    ///
    /// [`Error::is_unavailable`](crate::Error::is_unavailable) if it would not, with the reason for the operator.
    fn ready(&self) -> BrokerFuture<'_, ()>;

    /// Returns the broker's metrics with their present values: the same metrics, in the same order, at every call.
    ///
    /// A server exposes them beside its own, so their names should begin with a word for the broker. Default: none.
    fn metrics(&self) -> Vec<Metric> {
        Vec::new()
    }

    /// Releases everything that the broker holds. Called once, at the end.
    fn close(&self);
}
