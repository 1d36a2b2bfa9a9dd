//! Streams the newest events of a channel as JSON, a page of the history at a time.
//!
//! A thousand events can be some megabytes. The next page is read when the client has taken the one before, so a client that
//! does not read costs one page.

use axum::{BoxError, body::Body};
use bytes::Bytes;
use futures_util::stream;
use serde_json::json;
use tidecast::{Channel, Hub, Position, broker::PastEvent, internals::put_json_string};

/// Number of events of the first page. Later ones have as many as probably fit into [`PAGE_BYTES`].
const FIRST_PAGE: usize = 1;

/// Target size of a page, in bytes.
const PAGE_BYTES: usize = 64 * 1024;

/// Maximum number of events of a page.
const PAGE_EVENTS_MAX: usize = 128;

/// The response body. See the module.
pub(super) struct PastEvents {
    hub: Hub,
    channel: Channel,
    /// The position of the last event read and that of the last to read; `None` at the end.
    range: Option<(Position, Position)>,
    page: usize,
    written: DocumentProgress,
}

/// The progress of the JSON document.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DocumentProgress {
    Nothing,
    /// The beginning is written, and perhaps events.
    Open {
        any: bool,
    },
    All,
}

impl PastEvents {
    /// Creates a body with the last `last` events up to the newest, if the channel has one.
    pub(super) fn new(hub: Hub, channel: &Channel, newest: Option<Position>, last: usize) -> Self {
        let range = newest.map(|newest| {
            let before = Position { offset: newest.offset.saturating_sub(last as u64), ..newest };
            (if before.offset == 0 { Position::START } else { before }, newest)
        });
        Self { hub, channel: channel.clone(), range, page: FIRST_PAGE, written: DocumentProgress::Nothing }
    }

    /// Returns the body. It ends with an error if the broker becomes unavailable, so that a part is not taken for the whole.
    pub(super) fn into_body(self) -> Body {
        Body::from_stream(stream::try_unfold(self, |mut events| async move {
            Ok::<_, BoxError>(events.next().await?.map(|bytes| (bytes, events)))
        }))
    }

    async fn next(&mut self) -> Result<Option<Bytes>, BoxError> {
        let mut out = Vec::new();
        let mut any = match self.written {
            DocumentProgress::All => return Ok(None),
            DocumentProgress::Nothing => {
                out.extend_from_slice(b"{\"channel\":");
                put_json_string(&mut out, self.channel.as_str());
                out.extend_from_slice(b",\"events\":[");
                false
            }
            DocumentProgress::Open { any } => any,
        };
        for event in self.read().await? {
            if std::mem::replace(&mut any, true) {
                out.push(b',');
            }
            serde_json::to_writer(
                &mut out,
                &json!({
                    "id": event.id(),
                    "position": event.position.to_string(),
                    "type": event.event_type(),
                    "data": event.data(),
                }),
            )?;
        }
        self.written = DocumentProgress::Open { any };
        if self.range.is_none() {
            out.extend_from_slice(b"]}\n");
            self.written = DocumentProgress::All;
        }
        Ok(Some(out.into()))
    }

    /// Reads the next page.
    async fn read(&mut self) -> tidecast::Result<Vec<PastEvent>> {
        let Some((after, newest)) = self.range else { return Ok(Vec::new()) };
        let mut events = self.hub.history_after(&self.channel, after, self.page).await?.events;
        // Later events are left out, and all if the channel was restarted.
        events.retain(|event| event.position.epoch == newest.epoch && event.position.offset <= newest.offset);
        self.range =
            events.last().filter(|last| last.position.offset < newest.offset).map(|last| (last.position, newest));
        let bytes: usize = events.iter().map(|event| event.event.data().len()).sum();
        self.page = (PAGE_BYTES * events.len() / bytes.max(1)).clamp(1, PAGE_EVENTS_MAX);
        Ok(events)
    }
}
