//! The start of readers that waited during a backfill.

use tidecast::Epoch;

use super::*;
use crate::scripts::history::StoredEvent;

const WAITED: Duration = Duration::from_millis(100);

/// Returns a page read at 1,000 ms by the server's clock, whose events have these times, and the last one offset 9.
fn page(times: &[u64], cut: bool) -> HistoryPage {
    let first = 10 - times.len() as u64;
    let stored = |(offset, at_ms): (u64, &u64)| StoredEvent { offset, at_ms: *at_ms, payload: Vec::new() };
    HistoryPage {
        head: Position { epoch: Epoch::random(), offset: 9 },
        lineage: Default::default(),
        origins: Vec::new(),
        server: String::new(),
        promoted: false,
        current: true,
        complete: true,
        now_ms: Some(1_000),
        cut,
        events: (first..).zip(times).map(stored).collect(),
    }
}

#[test]
fn waiting_readers_begin_before_the_first_event_since_they_came() {
    let config = RedisConfig::from_url("redis://localhost").unwrap();
    let too_slow = Some(ResetReason::TooSlow);
    for (times, cut, log_at, waited, expected) in [
        (&[][..], false, None, WAITED, None),
        (&[899], false, None, WAITED, None),
        (&[900], false, None, WAITED, Some((8, None))),
        // A fraction of a millisecond is rounded up.
        (&[899], false, None, Duration::from_micros(100_001), Some((8, None))),
        (&[800, 950, 960], false, None, WAITED, Some((7, None))),
        // The clock was set back.
        (&[800, 950, 860], false, None, WAITED, Some((7, None))),
        (&[800, 950, 960], true, None, WAITED, Some((7, None))),
        // There may be earlier events.
        (&[950, 960], true, None, WAITED, Some((7, too_slow))),
        (&[950, 960], true, Some(7), WAITED, Some((7, None))),
        (&[950, 960], false, None, config.history_age_max, Some((7, too_slow))),
        (&[950; 9], true, None, WAITED, Some((0, None))),
    ] {
        let page = page(times, cut);
        let at = |offset| Position { offset, ..page.head };
        let from = live_from(&config, true, &page, (log_at.map(at), 9), waited);
        let expected = expected.map(|(offset, reset)| LiveFrom { after: at(offset), reset });
        assert_eq!(from, expected, "{times:?} {cut} {log_at:?} {waited:?}");
    }
}

#[test]
fn without_a_history_a_head_that_has_moved_is_told() {
    let config = RedisConfig::from_url("redis://localhost").unwrap().history_events_max(0);
    let too_slow = Some(ResetReason::TooSlow);
    let page = page(&[], false);
    let at = |offset| Position { offset, ..page.head };
    for (cold, log_at, until, reset) in [
        // The position when the readers came is unknown.
        (true, None, 9, None),
        (true, Some(5), 8, None),
        (false, Some(9), 9, None),
        (false, Some(5), 5, None),
        (false, Some(5), 8, too_slow),
    ] {
        let from = live_from(&config, cold, &page, (log_at.map(at), until), WAITED);
        assert_eq!(from, Some(LiveFrom { after: at(until), reset }), "{cold} {log_at:?} {until}");
    }
}
