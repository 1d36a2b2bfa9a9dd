//! Deleting a channel.

use super::*;

#[test]
fn a_deleted_channel_starts_over() {
    let mut rig = ScriptRig::new();
    let first = rig.publish("x");
    rig.command(&["HSET", &rig.keys.meta.clone(), "r", "another"]);
    let second = rig.publish("x");
    let mut subscriber = PubSubClient::new(&rig, "SUBSCRIBE", Keys::new("tidecast", 0).control());
    let start = rig.forget().unwrap();
    assert_eq!(subscriber.next(), b"sse");
    assert_eq!(start.offset, 0);
    let page = rig.read(Some(0));
    assert_eq!((page.head, page.complete, page.events.len()), (start, true, 0));
    assert_eq!(page.lineage, Lineage::default());
    assert_eq!(rig.head(), Some(start));

    let after = rig.publish("y");
    assert_eq!(after, Position { offset: 1, ..start });
    assert!(after.epoch != first.epoch && after.epoch != second.epoch);
    assert_eq!(texts(&rig.read(None)), [(1, "y".to_owned())]);
    for key in [rig.keys.meta.clone(), rig.keys.events.clone()] {
        assert!(rig.number(&["PTTL", &key]) > 0);
    }
}

#[test]
fn deleting_an_unknown_channel_creates_nothing() {
    let mut rig = ScriptRig::new();
    assert_eq!(rig.forget(), None);
    assert_eq!(rig.number(&["DBSIZE"]), 0);
    let events = rig.keys.events.clone();
    rig.command(&["XADD", &events, "1-1", "p", "without a hash"]);
    assert_eq!(rig.forget(), None);
    assert_eq!(rig.number(&["DBSIZE"]), 0);
    assert_eq!(rig.head(), None);
}
