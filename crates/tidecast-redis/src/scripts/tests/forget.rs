//! Deleting a channel.

use super::*;

#[test]
fn a_forgotten_channel_starts_over() {
    let mut rig = Rig::new();
    let first = rig.publish("x");
    rig.command(&["HSET", &rig.keys.meta.clone(), "r", "another"]);
    let second = rig.publish("x");
    let mut listener = Listener::new(&rig, "SUBSCRIBE", &Keys::new("tidecast", 0).control());
    let start = rig.forget().unwrap();
    assert_eq!(listener.next(), b"sse");
    assert_eq!(start.offset, 0);
    let filled = rig.fill(Some(0));
    assert_eq!((filled.head, filled.complete, filled.events.len()), (start, true, 0));
    assert_eq!(filled.lineage, Lineage::default());
    assert_eq!(rig.head(), Some(start));

    let after = rig.publish("y");
    assert_eq!(after, Position { offset: 1, ..start });
    assert!(after.epoch != first.epoch && after.epoch != second.epoch);
    assert_eq!(texts(&rig.fill(None)), [(1, "y".to_owned())]);
    for key in [rig.keys.meta.clone(), rig.keys.events.clone()] {
        assert!(rig.number(&["PTTL", &key]) > 0);
    }
}

#[test]
fn a_channel_that_nobody_knows_is_not_made() {
    let mut rig = Rig::new();
    assert_eq!(rig.forget(), None);
    assert_eq!(rig.number(&["DBSIZE"]), 0);
    let events = rig.keys.events.clone();
    rig.command(&["XADD", &events, "1-1", "p", "without a hash"]);
    assert_eq!(rig.forget(), None);
    assert_eq!(rig.number(&["DBSIZE"]), 0);
    assert_eq!(rig.head(), None);
}
