//! How many wrong keys came from an address lately.
//!
//! A table of fixed size, made with the first wrong key: two addresses that meet in it share a slot, and the newer one
//! takes it. So an address may be forgotten too early, but nobody is counted for another, and memory has a bound.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::OnceLock,
    time::Instant,
};

use parking_lot::Mutex;

use crate::{
    limits::{GUESS_ADDRESSES_MAX, GUESS_WINDOW, GUESSES_MAX},
    places::client_of,
};

/// See the module.
pub(super) struct GuessCounter {
    slots: OnceLock<Box<[Mutex<Option<Slot>>]>>,
    /// Drawn at the start, so that nobody can choose addresses that meet.
    hasher: RandomState,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    address: IpAddr,
    since: Instant,
    count: u32,
}

/// Whether an address may have another wrong key answered at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    Few,
    TooMany,
}

impl Count {
    pub(super) fn is_too_many(self) -> bool {
        self == Self::TooMany
    }
}

impl GuessCounter {
    pub(super) fn new() -> Self {
        Self { slots: OnceLock::new(), hasher: RandomState::new() }
    }

    /// Counts a wrong key of an address. A window begins with an address' first one and ends by its time, whatever comes.
    pub(super) fn count(&self, address: IpAddr, now: Instant) -> Count {
        let address = client_of(address);
        let slots = self.slots.get_or_init(|| (0..GUESS_ADDRESSES_MAX).map(|_| Mutex::default()).collect());
        let at = self.hasher.hash_one(address) % slots.len() as u64;
        let mut slot = slots[usize::try_from(at).unwrap_or_default()].lock();
        let same = slot.filter(|slot| slot.address == address && now.duration_since(slot.since) < GUESS_WINDOW);
        let mut counted = same.unwrap_or(Slot { address, since: now, count: 0 });
        counted.count = counted.count.saturating_add(1);
        *slot = Some(counted);
        if counted.count > GUESSES_MAX { Count::TooMany } else { Count::Few }
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
            assert_eq!(counts("192.0.2.1", begin), Count::Few);
        }
        assert_eq!(counts("192.0.2.1", begin), Count::TooMany);
        assert_eq!(counts("::ffff:192.0.2.1", begin), Count::TooMany);
        assert_eq!(counts("192.0.2.1", begin + GUESS_WINDOW), Count::Few);
        // Of IPv6 a network of 64 bits is one address.
        for number in 0..GUESSES_MAX {
            assert_eq!(counts(&format!("2001:db8::{number}"), begin), Count::Few);
        }
        assert_eq!(counts("2001:db8::ffff:1", begin), Count::TooMany);
        assert_eq!(counts("2001:db8:0:1::1", begin), Count::Few);
    }

    #[test]
    fn however_many_addresses_come_the_table_stays_as_large() {
        let (guesses, begin) = (GuessCounter::new(), Instant::now());
        for number in 0..20_000_u32 {
            guesses.count(IpAddr::V4(number.into()), begin);
        }
        assert_eq!(guesses.slots.get().map(|slots| slots.len()), Some(GUESS_ADDRESSES_MAX));
    }
}
