//! A channel's newest events as JSON, written as they are read: a page of the history at a time, and the next once the client
//! has taken it. A thousand events can be some megabytes, and a client that does not read them costs a page.

use axum::{BoxError, body::Body};
use bytes::Bytes;
use futures_util::stream;
use serde_json::json;
use tidecast::{Channel, Hub, Position, broker::PastEvent};

/// How many events the first page has. The next have as many as fit into [`PAGE_BYTES`], if they are like those before.
const FIRST_PAGE: usize = 1;

/// How large a page is meant to be.
const PAGE_BYTES: usize = 64 * 1024;

/// Most events of a page.
const PAGE_EVENTS_MAX: usize = 128;

/// See the module.
pub(super) struct PastEvents {
    hub: Hub,
    channel: Channel,
    /// What has been read, and up to where to read; `None` once that is done.
    range: Option<(Position, Position)>,
    page: usize,
    written: Progress,
}

/// How far the document is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Nothing,
    /// Its beginning, and whether an event is there already.
    Open {
        any: bool,
    },
    All,
}

impl PastEvents {
    /// The last so many events up to the newest, if there is any.
    pub(super) fn new(hub: Hub, channel: &Channel, newest: Option<Position>, last: usize) -> Self {
        let range = newest.map(|newest| {
            let before = Position { offset: newest.offset.saturating_sub(last as u64), ..newest };
            (if before.offset == 0 { Position::START } else { before }, newest)
        });
        Self { hub, channel: channel.clone(), range, page: FIRST_PAGE, written: Progress::Nothing }
    }

    /// A body that ends with an error if the broker goes away meanwhile, so that nobody takes a part for the whole.
    pub(super) fn into_body(self) -> Body {
        Body::from_stream(stream::try_unfold(self, |mut events| async move {
            Ok::<_, BoxError>(events.next().await?.map(|bytes| (bytes, events)))
        }))
    }

    async fn next(&mut self) -> Result<Option<Bytes>, BoxError> {
        let mut out = Vec::new();
        let mut any = match self.written {
            Progress::All => return Ok(None),
            Progress::Nothing => {
                out.extend_from_slice(b"{\"channel\":");
                serde_json::to_writer(&mut out, self.channel.as_str())?;
                out.extend_from_slice(b",\"events\":[");
                false
            }
            Progress::Open { any } => any,
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
        self.written = Progress::Open { any };
        if self.range.is_none() {
            out.extend_from_slice(b"]}\n");
            self.written = Progress::All;
        }
        Ok(Some(out.into()))
    }

    /// Reads the next page.
    async fn read(&mut self) -> tidecast::Result<Vec<PastEvent>> {
        let Some((after, newest)) = self.range else { return Ok(Vec::new()) };
        let mut events = self.hub.history_after(&self.channel, after, self.page).await?.events;
        // What has come since is another answer's, and so is all if the channel has begun anew.
        events.retain(|event| event.position.epoch == newest.epoch && event.position.offset <= newest.offset);
        self.range =
            events.last().filter(|last| last.position.offset < newest.offset).map(|last| (last.position, newest));
        let bytes: usize = events.iter().map(|event| event.event.data().len()).sum();
        self.page = (PAGE_BYTES * events.len() / bytes.max(1)).clamp(1, PAGE_EVENTS_MAX);
        Ok(events)
    }
}
