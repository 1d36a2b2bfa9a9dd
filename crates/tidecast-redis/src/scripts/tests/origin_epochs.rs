//! The epochs of a channel before its first event, which change with everything that can lose an event.

use tidecast_test::wait_until;

use super::*;

impl ScriptRig {
    /// Returns the epoch of a channel without events, and those before it.
    fn origin_epochs(&mut self) -> (Epoch, Vec<Epoch>) {
        let page = self.try_read(None, 10, 1_000).unwrap().unwrap();
        assert_eq!(page.head.offset, 0);
        (page.head.epoch, page.origins)
    }
}

#[test]
fn reading_writes_nothing_and_the_first_event_has_the_origins() {
    let mut rig = ScriptRig::new();
    let (epoch, before) = rig.origin_epochs();
    assert_eq!(rig.origin_epochs(), (epoch, before.clone()), "unchanged");
    assert_eq!(rig.number(&["DBSIZE"]), 0);
    rig.use_channel("another");
    assert_ne!(rig.origin_epochs().0, epoch, "each channel has its own");
    rig.use_channel("sse");

    let first = rig.publish("x");
    assert_ne!(first.epoch, epoch);
    let page = rig.read(Some(0));
    assert_eq!(page.origins[0], epoch);
    assert_eq!(page.origins[1..], before);
    // A restarted server does not know what it has lost.
    rig.restart();
    rig.publish("y");
    assert_eq!(rig.read(Some(0)).origins, []);
}

/// A client of a channel without events reconnected after events were lost, and was not told: its id, `0.0`, was the same
/// as before.
#[test]
fn everything_that_loses_events_changes_the_epoch() {
    let mut rig = ScriptRig::new();
    let mut seen = vec![rig.origin_epochs().0];
    let mut changed = |rig: &mut ScriptRig, by: &str| {
        let (epoch, before) = rig.origin_epochs();
        assert!(!seen.contains(&epoch) && !before.iter().any(|epoch| seen.contains(epoch)), "by {by}");
        seen.push(epoch);
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
    let page = rig.read(None);
    assert!(!seen.contains(&page.head.epoch) && page.origins.is_empty(), "by a deletion");
}

/// A hash expires together with all that is known about the channel's events.
#[test]
fn an_origin_epoch_lasts_at_most_as_long_as_a_hash() {
    const IDLE: Duration = Duration::from_millis(800);
    let mut rig = ScriptRig::new();
    rig.retention.idle_age_max = IDLE;
    let (meta, began) = (rig.keys.meta.clone(), std::time::Instant::now());
    let (epoch, _) = rig.origin_epochs();
    rig.publish("missed");
    assert!(wait_until(|| rig.number(&["EXISTS", &meta]) == 0));
    assert!(began.elapsed() >= IDLE);
    let (now, before) = rig.origin_epochs();
    assert!(now != epoch && !before.contains(&epoch));
    rig.publish("x");
    assert!(!rig.read(None).origins.contains(&epoch));
}
