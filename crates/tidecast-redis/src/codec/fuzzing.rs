//! The check of the codec's fuzz target: what must hold for any bytes published on Redis.

use super::{Decoded, decode, decode_stored, stored, trailer};
use tidecast::{Event, Limits};

/// Checks that an event decoded from bytes, with and without a trailer, is the same after encoding and decoding, and that
/// invalid bytes have a reason.
///
/// # Panics
///
/// If that does not hold.
pub fn codec(bytes: &[u8]) {
    let limits = Limits::default();
    let position = "00c0ffee1234.7".parse().expect("a position");
    for payload in [bytes.to_vec(), [bytes, &trailer::written(position, false)].concat()] {
        match decode(&payload, &limits) {
            Decoded::Native { event, .. } => comes_back(&event, &limits),
            Decoded::Foreign(event) => {
                assert!(
                    event.data().len() <= limits.event_data_bytes_max,
                    "a foreign event that is larger than one may be"
                );
                comes_back(&event, &limits);
            }
            Decoded::Invalid(invalid) => assert!(!invalid.reason.is_empty()),
        }
    }
    match decode_stored(bytes, &limits) {
        Ok(event) => comes_back(&event, &limits),
        Err(invalid) => assert!(!invalid.reason.is_empty()),
    }
}

fn comes_back(event: &Event, limits: &Limits) {
    let json = stored(event);
    let back = decode_stored(&json, limits).unwrap_or_else(|invalid| panic!("{}: {invalid:?}", json.escape_ascii()));
    assert_eq!((back.data(), back.event_type(), back.id()), (event.data(), event.event_type(), event.id()));
    assert_eq!(back.retry(), event.retry());
}

#[cfg(test)]
mod tests {
    #[test]
    fn payloads() {
        tidecast_test::fuzz::replay("codec", super::codec);
    }
}
