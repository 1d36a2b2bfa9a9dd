//! The epochs of channels without an event: an id in one of them changes with whatever it may have missed.

use tidecast_test::wait_until;

use super::*;

impl Rig {
    /// The epoch of the silent channel, and those before it.
    fn silent(&mut self) -> (Epoch, Vec<Epoch>) {
        let filled = self.try_fill(None, 10, 1_000).unwrap().unwrap();
        assert_eq!(filled.head.offset, 0);
        (filled.head.epoch, filled.origins)
    }
}

#[test]
fn reading_writes_nothing_and_the_first_event_knows_where_it_comes_from() {
    let mut rig = Rig::new();
    let (epoch, before) = rig.silent();
    assert_eq!(rig.silent(), (epoch, before.clone()), "it stays");
    assert_eq!(rig.number(&["DBSIZE"]), 0);
    rig.use_channel("another");
    assert_ne!(rig.silent().0, epoch, "positions of one channel are none of another");
    rig.use_channel("sse");

    let first = rig.publish("x");
    assert_ne!(first.epoch, epoch);
    let filled = rig.fill(Some(0));
    assert_eq!(filled.origins[0], epoch);
    assert_eq!(filled.origins[1..], before);
    // What was lost with a server nobody knows.
    rig.restart();
    rig.publish("y");
    assert_eq!(rig.fill(Some(0)).origins, []);
}

/// A page that had listened to a silent channel came back after events that it had not got were lost, and was told
/// nothing: its id, `0.0`, said the same as before.
#[test]
fn what_may_have_been_missed_changes_it() {
    let mut rig = Rig::new();
    let mut snapshot = vec![rig.silent().0];
    let mut changed = |rig: &mut Rig, by: &str| {
        let (epoch, before) = rig.silent();
        assert!(!snapshot.contains(&epoch) && !before.iter().any(|epoch| snapshot.contains(epoch)), "by {by}");
        snapshot.push(epoch);
    };
    rig.publish("x");
    rig.command(&["FLUSHALL"]);
    changed(&mut rig, "FLUSHALL");
    rig.publish("x");
    rig.command(&["FLUSHDB"]);
    changed(&mut rig, "FLUSHDB");
    rig.server.kill();
    rig.server.run();
    rig.connection = connect(&rig.server.url());
    changed(&mut rig, "a restart without data");
    rig.publish("x");
    rig.forget();
    let filled = rig.fill(None);
    assert!(!snapshot.contains(&filled.head.epoch) && filled.origins.is_empty(), "by a deletion");
}

/// The hash expires, and with it all that is known of what there was.
#[test]
fn it_is_good_for_as_long_as_a_hash_lives() {
    const IDLE: Duration = Duration::from_millis(800);
    let mut rig = Rig::new();
    rig.retention.idle_age_max = IDLE;
    let (meta, began) = (rig.keys.meta.clone(), std::time::Instant::now());
    let (epoch, _) = rig.silent();
    rig.publish("missed");
    assert!(wait_until(|| rig.number(&["EXISTS", &meta]) == 0));
    assert!(began.elapsed() >= IDLE);
    let (now, before) = rig.silent();
    assert!(now != epoch && !before.contains(&epoch));
    rig.publish("x");
    assert!(!rig.fill(None).origins.contains(&epoch));
}
