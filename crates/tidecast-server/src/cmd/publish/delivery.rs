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
    Entry, Tally,
    verdict::{Place, Verdict},
};
use crate::cmd::{
    HubArguments,
    client::{
        connection::{Connection, Cut, publish},
        patience::Patience,
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
    Never(String),
    Interrupted,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GaveUp(why) | Self::Never(why) => f.write_str(why),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

/// The way to the hub, and what is on it.
#[derive(Debug)]
pub(super) struct Delivery {
    hub: HubArguments,
    give_up_after: Duration,
    connection: Option<Connection>,
    /// What is not answered yet.
    entries: Vec<Entry>,
    /// How many of them are in the request that is under way.
    under_way: usize,
    /// How many are sent at once at most: fewer after something found a request too long.
    at_once: usize,
    /// The epoch that each channel was last seen in.
    epochs: HashMap<String, Epoch>,
    pub(super) tally: Tally,
}

impl Delivery {
    pub(super) fn new(hub: HubArguments, give_up_after: Duration) -> Self {
        Self {
            hub,
            give_up_after,
            connection: None,
            entries: Vec::new(),
            under_way: 0,
            at_once: usize::MAX,
            epochs: HashMap::new(),
            tally: Tally::default(),
        }
    }

    /// Takes the next batch. The one before is delivered.
    pub(super) fn put(&mut self, entries: Vec<Entry>) {
        self.entries = entries;
    }

    /// Delivers the batch.
    pub(super) async fn deliver(&mut self) -> Result<(), Stopped> {
        let mut patience = Patience::new(PAUSES.0, PAUSES.1);
        let mut give_up_at = None;
        while !self.entries.is_empty() {
            let Some(trouble) = self.attempt().await? else {
                patience.restore();
                give_up_at = None;
                continue;
            };
            let give_up_at = *give_up_at.get_or_insert_with(|| Instant::now() + self.give_up_after);
            let pause = patience.pause();
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
            if entry.in_doubt || index < self.under_way {
                self.tally.lose_sight_of(entry.line);
            }
        }
    }

    /// Sends what fits into a request. `Some` is what was in the way and may go away.
    async fn attempt(&mut self) -> Result<Option<String>, Stopped> {
        let mut connection = match self.connection.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => match Connection::open(&self.hub).await {
                Ok(connection) => connection,
                Err(error) => return Ok(Some(error.to_string())),
            },
        };
        let sent = self.entries.len().min(self.at_once);
        let body: Vec<&str> = self.entries[..sent].iter().map(|entry| &*entry.json).collect();
        let request = publish(&self.hub, format!("[{}]", body.join(",")), true);
        // Until it is known better, for one who interrupts.
        self.under_way = sent;
        let answer = connection.ask(request).await;
        self.under_way = 0;
        let answer = match answer {
            Ok(answer) => answer,
            Err(cut) => return Ok(Some(self.note_cut(sent, &cut))),
        };
        self.connection = Some(connection);
        match Verdict::of(&answer, sent) {
            Verdict::Published(places) => self.take(&places),
            Verdict::Refused { index, why } => {
                let refused = self.entries.remove(index);
                self.tally.refuse(refused.line, &why);
            }
            Verdict::TooLong(_) if sent > 1 => self.at_once = sent / 2,
            Verdict::TooLong(why) => {
                let refused = self.entries.remove(0);
                self.tally.refuse(refused.line, &why);
            }
            Verdict::Later { published, in_doubt, why } => {
                self.take(&published);
                if in_doubt && let Some(next) = self.entries.first_mut() {
                    next.in_doubt = true;
                }
                if published.is_empty() {
                    return Ok(Some(why));
                }
            }
            Verdict::Unclear(why) => {
                self.doubt(sent);
                return Ok(Some(why));
            }
            Verdict::Never(why) => return Err(Stopped::Never(why)),
        }
        Ok(None)
    }

    fn note_cut(&mut self, sent: usize, cut: &Cut) -> String {
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
    fn take(&mut self, places: &[Place]) {
        // Any channel that goes on where it was proves that the hub still has its keys.
        let same_hub = places.iter().any(|place| self.epochs.get(&place.channel) == Some(&place.position.epoch));
        for (entry, place) in self.entries.drain(..places.len()).zip(places) {
            if entry.in_doubt && !same_hub {
                self.tally.lose_sight_of(entry.line);
            } else {
                self.tally.published += 1;
            }
            if self.epochs.get(&place.channel) != Some(&place.position.epoch) {
                self.epochs.insert(place.channel.clone(), place.position.epoch);
            }
        }
    }
}
