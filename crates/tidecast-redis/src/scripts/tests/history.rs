//! Reading a channel's history.

use super::*;

#[test]
fn an_unpublished_channel_has_no_history() {
    let mut rig = ScriptRig::new();
    assert!(rig.is_empty());
    assert!(rig.try_read(Some(5), 10, 1_000).unwrap().unwrap().complete);
    assert_eq!(rig.head(), None);
}

/// The script reads in small portions, so every combination of bounds is compared with the expected page.
#[test]
fn any_page_is_read_as_it_was_published() {
    const EVENTS: u64 = 50;
    let mut rig = ScriptRig::new();
    let text = |offset: u64| "x".repeat((offset * 7 % 23) as usize);
    let bytes = |offset: &u64| r#"{"data":""}"#.len() + (offset * 7 % 23) as usize;
    for offset in 1..=EVENTS {
        rig.publish(&text(offset));
    }
    for after in [None, Some(0), Some(1), Some(17), Some(33), Some(34), Some(49), Some(50), Some(51), Some(1 << 53)] {
        for limit in [0, 1, 2, 15, 16, 17, 32, 33, 50, 51, 1_000] {
            for bytes_max in [0, 1, 40, 300, 1 << 40] {
                let page = rig.try_read(after, limit, bytes_max).unwrap().unwrap();
                let matching: Vec<u64> = match after {
                    None => (1..=EVENTS).rev().collect(),
                    Some(after) => (after.saturating_add(1)..=EVENTS).collect(),
                };
                let mut expected: Vec<u64> = Vec::new();
                for offset in matching.into_iter().take(limit) {
                    let so_far: usize = expected.iter().map(bytes).sum();
                    if !expected.is_empty() && so_far + bytes(&offset) > bytes_max {
                        break;
                    }
                    expected.push(offset);
                }
                expected.sort_unstable();
                let case = format!("after {after:?}, at most {limit} of {bytes_max} bytes");
                assert_eq!(offsets(&page), expected, "{case}");
                assert!(texts(&page).iter().all(|(offset, read)| *read == text(*offset)), "{case}");
                assert_eq!(page.head.offset, EVENTS);
                if limit > 0 {
                    assert_eq!(page.complete, after.is_none_or(|after| after <= EVENTS), "{case}");
                }
            }
        }
    }
}

#[test]
fn a_page_after_trimmed_events_is_not_complete() {
    let mut rig = ScriptRig::new();
    for _ in 0..10 {
        rig.publish("x");
    }
    let events = rig.keys.events.clone();
    rig.command(&["XTRIM", &events, "MINID", "5"]);
    for (after, complete) in [(0, false), (3, false), (4, true), (9, true), (10, true), (11, false)] {
        let page = rig.read(Some(after));
        assert_eq!(page.complete, complete, "{after}");
        assert_eq!(offsets(&page), (5.max(after + 1)..=10).collect::<Vec<_>>());
    }
    assert_eq!(offsets(&rig.read(None)), [5, 6, 7, 8, 9, 10]);
    rig.command(&["DEL", &events]);
    let page = rig.read(Some(9));
    assert_eq!((page.complete, page.events.len()), (false, 0));
    assert!(rig.read(Some(10)).complete);
}

#[test]
fn events_before_a_hole_are_left_out() {
    let mut rig = ScriptRig::new();
    for _ in 0..5 {
        rig.publish("x");
    }
    let events = rig.keys.events.clone();
    let entries: Vec<(String, Vec<String>)> =
        redis::from_redis_value(rig.command(&["XRANGE", &events, "3", "3"])).unwrap();
    rig.command(&["XDEL", &events, &entries[0].0]);
    let page = rig.read(Some(1));
    assert_eq!((page.complete, offsets(&page)), (false, vec![4, 5]));
    assert!(rig.read(Some(3)).complete);
}

#[test]
fn entries_beyond_the_head_are_ignored() {
    let mut rig = ScriptRig::new();
    rig.publish("x");
    let events = rig.keys.events.clone();
    rig.command(&["XADD", &events, "*", "p", "by hand"]);
    assert_eq!(texts(&rig.read(None)), [(1, "x".to_owned())]);
    assert_eq!(texts(&rig.read(Some(0))), [(1, "x".to_owned())]);
    assert!(rig.read(Some(1)).events.is_empty());
}

#[test]
fn a_large_channel_is_read_page_by_page() {
    let mut rig = ScriptRig::new();
    for _ in 0..700 {
        rig.publish("x");
    }
    let (mut after, mut pages) = (0, 0);
    while after < 700 && pages < 10 {
        let page = rig.try_read(Some(after), 256, 1 << 20).unwrap().unwrap();
        assert!(page.complete);
        assert_eq!(page.events[0].offset, after + 1);
        after = page.events.last().unwrap().offset;
        pages += 1;
    }
    assert_eq!((after, pages), (700, 3));
}

/// A node that opens a channel needs to know when its events were published, and whether the page has all of them.
#[test]
fn a_page_has_the_time_and_that_of_each_event() {
    let mut rig = ScriptRig::new();
    let before = rig.try_read(None, 10, 1_000).unwrap().unwrap();
    assert!(!before.cut);
    for text in ["a", "b", "c"] {
        rig.publish(text);
    }
    let after = rig.read(None);
    let mut times: Vec<_> = after.events.iter().map(|stored| stored.at_ms).collect();
    times.insert(0, before.now_ms.unwrap());
    times.push(after.now_ms.unwrap());
    assert!(times.is_sorted() && times[0] > 1_600_000_000_000, "{times:?}");
    assert!(!after.cut);
    assert!(rig.try_read(None, 2, 1_000).unwrap().unwrap().cut);
    assert!(rig.try_read(Some(0), 10, 20).unwrap().unwrap().cut);
}
