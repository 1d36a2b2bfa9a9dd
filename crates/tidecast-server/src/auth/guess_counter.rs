//! Counts the recent wrong keys of each client address.
//!
//! The counts are in a table of fixed size, which the first wrong key creates. If two addresses hash to one slot, the newer
//! one takes it: an address may be forgotten early, but is never blamed for another, and memory is bounded.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::OnceLock,
    time::Instant,
};

use parking_lot::Mutex;
use tidecast_serve::client_network;

use crate::limits::{GUESS_ADDRESSES_MAX, GUESS_WINDOW, GUESSES_MAX};

/// Counts wrong keys by client address. See the module.
pub(super) struct GuessCounter {
    slots: OnceLock<Box<[Mutex<Option<GuessSlot>>]>>,
    /// Seeded at random, so that a client cannot choose addresses that share a slot.
    hasher: RandomState,
}

#[derive(Debug, Clone, Copy)]
struct GuessSlot {
    address: IpAddr,
    since: Instant,
    count: u32,
}

/// The number of wrong keys of an address, against [`GUESSES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guesses {
    Few,
    TooMany,
}

impl GuessCounter {
    pub(super) fn new() -> Self {
        Self { slots: OnceLock::new(), hasher: RandomState::new() }
    }

    /// Counts a wrong key of an address. A window begins with the first one, and later ones do not extend it.
    pub(super) fn count(&self, address: IpAddr, now: Instant) -> Guesses {
        let address = client_network(address);
        let slots = self.slots.get_or_init(|| (0..GUESS_ADDRESSES_MAX).map(|_| Mutex::default()).collect());
        let at = self.hasher.hash_one(address) % slots.len() as u64;
        let mut slot = slots[usize::try_from(at).unwrap_or_default()].lock();
        let same = slot.filter(|slot| slot.address == address && now.duration_since(slot.since) < GUESS_WINDOW);
        let mut counted = same.unwrap_or(GuessSlot { address, since: now, count: 0 });
        counted.count = counted.count.saturating_add(1);
        *slot = Some(counted);
        if counted.count > GUESSES_MAX { Guesses::TooMany } else { Guesses::Few }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_is_counted_within_its_window() {
        let (guesses, begin) = (GuessCounter::new(), Instant::now());
        let counts = |address: &str, now| guesses.count(address.parse().unwrap(), now);
        for _ in 0..GUESSES_MAX {
            assert_eq!(counts("192.0.2.1", begin), Guesses::Few);
        }
        assert_eq!(counts("192.0.2.1", begin), Guesses::TooMany);
        assert_eq!(counts("::ffff:192.0.2.1", begin), Guesses::TooMany);
        assert_eq!(counts("192.0.2.1", begin + GUESS_WINDOW), Guesses::Few);
        // An IPv6 network of 64 bits counts as one address.
        for number in 0..GUESSES_MAX {
            assert_eq!(counts(&format!("2001:db8::{number}"), begin), Guesses::Few);
        }
        assert_eq!(counts("2001:db8::ffff:1", begin), Guesses::TooMany);
        assert_eq!(counts("2001:db8:0:1::1", begin), Guesses::Few);
    }

    #[test]
    fn the_table_does_not_grow_with_the_number_of_addresses() {
        let (guesses, begin) = (GuessCounter::new(), Instant::now());
        for number in 0..20_000_u32 {
            guesses.count(IpAddr::V4(number.into()), begin);
        }
        assert_eq!(guesses.slots.get().map(|slots| slots.len()), Some(GUESS_ADDRESSES_MAX));
    }
}
