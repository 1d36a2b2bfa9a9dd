//! Delivers batches to the hub across failures.
//!
//! A batch is sent again until the outcome of each entry is known. Idempotency keys keep a repeated entry from being
//! published twice, as long as the hub remembers them. A hub in memory forgets its keys when it ends. So if an entry may have
//! been published, and the hub that responds in the end is another process (its positions have another epoch, or there is
//! none to compare with), the fate of the entry is unknown and its line is named. The same holds if the hub does not know
//! whether its broker accepted an entry. A hub that stops in order leaves no entry in doubt, see
//! [`connection`](crate::cmd::client::connection).

use std::{collections::HashMap, fmt, time::Duration};

use tidecast::Epoch;
use tokio::time::{Instant, sleep};

use super::{
    BatchEntry, LineCounts,
    outcome::{BatchOutcome, PublishedAt},
};
use crate::cmd::client::{
    HubArguments,
    backoff::ClientBackoff,
    connection::{ConnectionLost, Expect, HubConnection, publish},
};

/// The first and the longest delay before an attempt is repeated.
const DELAYS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Why the delivery stopped early.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The hub was unreachable for too long.
    GaveUp(String),
    /// An error that a repetition does not change.
    Fatal(String),
    Interrupted,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GaveUp(why) | Self::Fatal(why) => f.write_str(why),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

/// Delivers batches to a hub.
#[derive(Debug)]
pub(super) struct BatchDelivery {
    hub: HubArguments,
    give_up_after: Duration,
    connection: Option<HubConnection>,
    /// The entries of the batch whose outcome is not known yet.
    entries: Vec<BatchEntry>,
    /// How many of them are in the current request.
    in_flight: usize,
    /// Maximum number of entries in a request; it is reduced if a request was too large.
    batch_max: usize,
    /// The last known epoch of each channel.
    epochs: HashMap<String, Epoch>,
    pub(super) counts: LineCounts,
}

impl BatchDelivery {
    pub(super) fn new(hub: HubArguments, give_up_after: Duration) -> Self {
        Self {
            hub,
            give_up_after,
            connection: None,
            entries: Vec::new(),
            in_flight: 0,
            batch_max: usize::MAX,
            epochs: HashMap::new(),
            counts: LineCounts::default(),
        }
    }

    /// Loads the next batch. The one before must be delivered.
    pub(super) fn load(&mut self, entries: Vec<BatchEntry>) {
        self.entries = entries;
    }

    /// Delivers the batch.
    pub(super) async fn deliver(&mut self) -> Result<(), Stopped> {
        let mut backoff = ClientBackoff::new(DELAYS.0, DELAYS.1);
        let mut give_up_at = None;
        while !self.entries.is_empty() {
            let Some(obstacle) = self.attempt().await? else {
                backoff.reset();
                give_up_at = None;
                continue;
            };
            let give_up_at = *give_up_at.get_or_insert_with(|| Instant::now() + self.give_up_after);
            let delay = backoff.next_delay();
            if Instant::now() + delay >= give_up_at {
                return Err(Stopped::GaveUp(obstacle));
            }
            sleep(delay).await;
        }
        Ok(())
    }

    /// Gives up the rest of the batch. Entries that may have been published are counted as unknown.
    pub(super) fn abandon(&mut self) {
        for (index, entry) in self.entries.drain(..).enumerate() {
            if entry.in_doubt || index < self.in_flight {
                self.counts.mark_unknown(entry.line);
            }
        }
    }

    /// Sends as many entries as fit into a request. Returns an obstacle that may pass, if there was one.
    async fn attempt(&mut self) -> Result<Option<String>, Stopped> {
        let mut connection = match self.connection.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => match HubConnection::open(&self.hub).await {
                Ok(connection) => connection,
                Err(error) => return Ok(Some(error.to_string())),
            },
        };
        let sent = self.entries.len().min(self.batch_max);
        let body: Vec<&str> = self.entries[..sent].iter().map(|entry| &*entry.json).collect();
        let request = publish(&self.hub, format!("[{}]", body.join(",")), Expect::Continue);
        // Counts as unknown if the program is interrupted now.
        self.in_flight = sent;
        let answer = connection.ask(request).await;
        self.in_flight = 0;
        let answer = match answer {
            Ok(answer) => answer,
            Err(cut) => return Ok(Some(self.note_lost(sent, &cut))),
        };
        self.connection = Some(connection);
        match BatchOutcome::from_response(&answer, sent) {
            BatchOutcome::Published(places) => self.complete(&places),
            BatchOutcome::Rejected { index, why } => {
                let rejected = self.entries.remove(index);
                self.counts.reject(rejected.line, &why);
            }
            BatchOutcome::TooLarge(_) if sent > 1 => self.batch_max = sent / 2,
            BatchOutcome::TooLarge(why) => {
                let rejected = self.entries.remove(0);
                self.counts.reject(rejected.line, &why);
            }
            BatchOutcome::Retry { published, in_doubt, why } => {
                self.complete(&published);
                if in_doubt && let Some(next) = self.entries.first_mut() {
                    next.in_doubt = true;
                }
                if published.is_empty() {
                    return Ok(Some(why));
                }
            }
            BatchOutcome::InDoubt(why) => {
                self.mark_in_doubt(sent);
                return Ok(Some(why));
            }
            BatchOutcome::Fatal(why) => return Err(Stopped::Fatal(why)),
        }
        Ok(None)
    }

    fn note_lost(&mut self, sent: usize, cut: &ConnectionLost) -> String {
        if cut.in_doubt {
            self.mark_in_doubt(sent);
        }
        format!("{}: {cut}", self.hub.url)
    }

    fn mark_in_doubt(&mut self, sent: usize) {
        for entry in &mut self.entries[..sent] {
            entry.in_doubt = true;
        }
    }

    /// Removes the first entries, which were published, and counts them.
    fn complete(&mut self, places: &[PublishedAt]) {
        // A channel that still has its epoch proves that the hub has kept its keys.
        let same_hub = places.iter().any(|place| self.epochs.get(&place.channel) == Some(&place.position.epoch));
        for (entry, place) in self.entries.drain(..places.len()).zip(places) {
            if entry.in_doubt && !same_hub {
                self.counts.mark_unknown(entry.line);
            } else {
                self.counts.published += 1;
            }
            if self.epochs.get(&place.channel) != Some(&place.position.epoch) {
                self.epochs.insert(place.channel.clone(), place.position.epoch);
            }
        }
    }
}
