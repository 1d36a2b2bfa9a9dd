//! Getting a batch to the hub, whatever happens on the way.
//!
//! A batch is sent until each of its entries is answered. It may be sent again without doubling anything, to a hub that
//! remembers its keys. A hub in memory forgets them with its process, so where an entry may have been taken and the hub
//! that answers in the end is another one (its positions are of another epoch, or there were none to compare with), the
//! entry's line is named. So it is where the hub could not tell what its broker made of an entry. A hub that was stopped in peace leaves nothing behind that may have been taken: it answers what
//! it has begun to read, and what it has not begun to read was never sent (see [`connection`](crate::cmd::client::connection)).

use std::{collections::HashMap, fmt, time::Duration};

use tidecast::Epoch;
use tokio::time::{Instant, sleep};

use super::{
    BatchEntry, LineCounts,
    outcome::{BatchOutcome, PublishedAt},
};
use crate::cmd::{
    HubArguments,
    client::{
        backoff::Backoff,
        connection::{ConnectionLost, HubConnection, publish},
    },
};

/// The first pause before something is tried again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Why it went no further.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The hub was away for too long.
    GaveUp(String),
    /// It would be the same the next time.
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

/// The way to the hub, and what is on it.
#[derive(Debug)]
pub(super) struct Delivery {
    hub: HubArguments,
    give_up_after: Duration,
    connection: Option<HubConnection>,
    /// What is not answered yet.
    entries: Vec<BatchEntry>,
    /// How many of them are in the request that is under way.
    in_flight: usize,
    /// How many are sent at once at most: fewer after something found a request too long.
    batch_max: usize,
    /// The epoch that each channel was last seen in.
    epochs: HashMap<String, Epoch>,
    pub(super) counts: LineCounts,
}

impl Delivery {
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

    /// Takes the next batch. The one before is delivered.
    pub(super) fn put(&mut self, entries: Vec<BatchEntry>) {
        self.entries = entries;
    }

    /// Delivers the batch.
    pub(super) async fn deliver(&mut self) -> Result<(), Stopped> {
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        let mut give_up_at = None;
        while !self.entries.is_empty() {
            let Some(trouble) = self.attempt().await? else {
                backoff.reset();
                give_up_at = None;
                continue;
            };
            let give_up_at = *give_up_at.get_or_insert_with(|| Instant::now() + self.give_up_after);
            let pause = backoff.next_delay();
            if Instant::now() + pause >= give_up_at {
                return Err(Stopped::GaveUp(trouble));
            }
            sleep(pause).await;
        }
        Ok(())
    }

    /// Gives up what is not answered: it was not sent, or nobody knows.
    pub(super) fn abandon(&mut self) {
        for (index, entry) in self.entries.drain(..).enumerate() {
            if entry.in_doubt || index < self.in_flight {
                self.counts.mark_unknown(entry.line);
            }
        }
    }

    /// Sends what fits into a request. `Some` is what was in the way and may go away.
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
        let request = publish(&self.hub, format!("[{}]", body.join(",")), true);
        // Until it is known better, for one who interrupts.
        self.in_flight = sent;
        let answer = connection.ask(request).await;
        self.in_flight = 0;
        let answer = match answer {
            Ok(answer) => answer,
            Err(cut) => return Ok(Some(self.note_lost(sent, &cut))),
        };
        self.connection = Some(connection);
        match BatchOutcome::from_response(&answer, sent) {
            BatchOutcome::Published(places) => self.take(&places),
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
                self.take(&published);
                if in_doubt && let Some(next) = self.entries.first_mut() {
                    next.in_doubt = true;
                }
                if published.is_empty() {
                    return Ok(Some(why));
                }
            }
            BatchOutcome::InDoubt(why) => {
                self.doubt(sent);
                return Ok(Some(why));
            }
            BatchOutcome::Fatal(why) => return Err(Stopped::Fatal(why)),
        }
        Ok(None)
    }

    fn note_lost(&mut self, sent: usize, cut: &ConnectionLost) -> String {
        if cut.in_doubt {
            self.doubt(sent);
        }
        format!("{}: {cut}", self.hub.url)
    }

    fn doubt(&mut self, sent: usize) {
        for entry in &mut self.entries[..sent] {
            entry.in_doubt = true;
        }
    }

    /// Counts the first entries, which were published.
    fn take(&mut self, places: &[PublishedAt]) {
        // Any channel that goes on where it was proves that the hub still has its keys.
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
