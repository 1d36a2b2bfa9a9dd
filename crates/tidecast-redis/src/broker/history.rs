//! Reads a channel's history, and finds ids in it.

use tidecast::{
    Channel, Error, Position, Result,
    broker::{FoundId, History, Since},
    limits::{BACKFILL_BYTES_MAX, BACKFILL_EVENTS_MAX},
};
use tokio::time;

use super::{RETRY_INTERVAL, RedisBroker, unavailable};
use crate::{pubsub::context::PAGE_BYTES_MAX, scripts::FindId};

/// The most look-ups of ids at once; others wait. Clients choose the ids, and each look-up has Redis read up to
/// [`BACKFILL_BYTES_MAX`].
pub(super) const LOOKUPS_MAX: usize = 4;

/// The most events that one call of a look-up reads.
const LOOKUP_PAGE_EVENTS: usize = 1_000;

impl RedisBroker {
    pub(super) async fn read_history(
        &self,
        channel: &Channel,
        since: Since,
        limit: usize,
        bytes_max: usize,
    ) -> Result<History> {
        let deliveries = self.deliveries()?;
        let page = self.context.read_history(channel, since, limit, bytes_max).await;
        let is_from_start = matches!(since, Since::Newest | Since::After(Position::START));
        let Some(page) = page.map_err(|error| unavailable(&error))? else {
            return Ok(History::new(Vec::new(), is_from_start));
        };
        let mut head = page.head;
        if let Since::After(after) = since
            && after != Position::START
            && after.epoch != head.epoch
        {
            let is_origin = after.offset == 0 && page.origins.contains(&after.epoch);
            if !is_origin {
                return Ok(History::new(Vec::new(), false).with_head(head));
            }
            // The channel was known by that epoch before its first event, and nothing was lost since.
            head.epoch = after.epoch;
        }
        Ok(History::new(page.decode_events(deliveries.limits()), page.complete).with_head(head))
    }

    /// Reads a page of the history, however long Redis is unavailable.
    pub(super) async fn wait_for_history(&self, channel: &Channel, since: Since, limit: usize) -> Result<History> {
        let mut changes = self.context.connected.subscribe();
        loop {
            match self.read_history(channel, since, limit, PAGE_BYTES_MAX).await {
                Err(error) if error.is_unavailable() => {
                    // The pub/sub connections may be up while commands fail, so a change is not waited for alone.
                    let _ = time::timeout(RETRY_INTERVAL, changes.changed()).await;
                }
                result => return result,
            }
        }
    }

    /// Searches the history for an id, from `tail` back to older events, however long Redis is unavailable. The search
    /// goes as far back as a reader would be given events; beyond that the reader is reset anyway.
    pub(super) async fn wait_for_id(&self, channel: &Channel, id: &str, tail: Position) -> Result<Option<FoundId>> {
        let keys = self.context.keys.channel(channel);
        let mut changes = self.context.connected.subscribe();
        let (mut last, mut events_left, mut bytes_left) = (tail.offset, BACKFILL_EVENTS_MAX, BACKFILL_BYTES_MAX);
        let (mut oldest, mut found) = (None, 0);
        loop {
            let (limit, bytes_max) = (events_left.min(LOOKUP_PAGE_EVENTS), bytes_left.min(PAGE_BYTES_MAX));
            let find = FindId { keys: &keys, id, last, limit, bytes_max };
            let reply = {
                // Released before the pause, because in a Cluster Redis may be unavailable for some channels only.
                let _permit = self.lookups.acquire().await.map_err(|_| Error::closed())?;
                self.context.commands.call(find.call()).await
            };
            let Ok(reply) = reply else {
                let _ = time::timeout(RETRY_INTERVAL, changes.changed()).await;
                continue;
            };
            let searched = FindId::parse(reply).map_err(|malformed| unavailable(&malformed.into()))?;
            let Some(searched) = searched else { return Ok(None) };
            oldest = searched.oldest.or(oldest);
            found += searched.found;
            last = searched.before;
            events_left = events_left.saturating_sub(searched.events);
            bytes_left = bytes_left.saturating_sub(searched.bytes);
            let is_complete = searched.ended || last == 0;
            if is_complete || events_left == 0 || bytes_left == 0 {
                // Beyond the bounds there may be older events with the id.
                let is_repeated = found > 1 || !is_complete;
                return Ok(oldest.map(|position| FoundId::new(position, is_repeated)));
            }
        }
    }
}
