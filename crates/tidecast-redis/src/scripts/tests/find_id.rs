//! Finding an event's own id.

use super::*;

fn event(id: Option<&str>, data: &str, retry: bool) -> Event {
    let event = if data.starts_with('{') { Event::raw_json(raw(data)) } else { Event::text(data) };
    let event = id.into_iter().fold(event, |event, id| event.with_id(id).unwrap());
    if retry { event.with_retry(Duration::from_millis(86_400_000)).unwrap() } else { event }
}

fn raw(data: &str) -> Box<serde_json::value::RawValue> {
    serde_json::value::RawValue::from_string(data.to_owned()).unwrap()
}

impl ScriptRig {
    fn find(&mut self, id: &str, last: u64, limit: usize, bytes_max: usize) -> IdSearch {
        let call = FindId { keys: &self.keys, id, last, limit, bytes_max }.call();
        FindId::parse(run(&mut self.connection, &call).unwrap()).unwrap().expect("the channel has a hash")
    }
}

/// Each search is compared with the published events. Data that has the text of an id must not match.
#[test]
fn an_id_is_found_where_it_was_published_and_nowhere_else() {
    const EVENTS: u64 = 60;
    const IDS: [&str; 5] = ["a", "b", "\"é\\,\"id\":\"a", "a\",\"retry\":5", "0"];
    let data = ["x", "\",\"id\":\"a", ",\"id\":\"a\"}", "{\"n\":1,\"id\":\"a\"}", "{\"id\":\"a\",\"retry\":5}"];
    let mut rig = ScriptRig::new();
    let mut random = fastrand::Rng::with_seed(18);
    let mut ids = vec![None];
    for _ in 0..EVENTS {
        let id = random.bool().then(|| IDS[random.usize(..4)]);
        let event = event(id, data[random.usize(..data.len())], random.bool());
        rig.try_publish(&event, None, "").unwrap();
        ids.push(id);
    }
    let head = rig.head().unwrap();
    for id in IDS {
        for last in [0, 1, 30, EVENTS, EVENTS + 5, u64::MAX] {
            for (limit, bytes_max) in [(1, 1 << 40), (20, 1 << 40), (1_000, 1 << 40), (1_000, 1), (1_000, 700)] {
                let searched = rig.find(id, last, limit, bytes_max);
                let newest = last.min(EVENTS);
                let read = newest - searched.events as u64 + 1..=newest;
                let matches: Vec<u64> = read.filter(|offset| ids[*offset as usize] == Some(id)).collect();
                let case = format!("{id} up to {last}, {limit} events, {bytes_max} bytes");
                let oldest = matches.first().map(|offset| Position { offset: *offset, ..head });
                assert_eq!((searched.oldest, searched.found), (oldest, matches.len() as u64), "{case}");
                assert_eq!(searched.before, newest - searched.events as u64, "{case}");
                assert!(searched.events <= limit && (searched.events > 0 || searched.ended), "{case}");
                assert!(bytes_max > 1 || searched.events <= 1, "{case}");
                assert_eq!(searched.events as u64 == newest, searched.ended || searched.before == 0, "{case}");
            }
        }
    }
}

#[test]
fn an_unpublished_channel_has_no_ids() {
    let mut rig = ScriptRig::new();
    let call = FindId { keys: &rig.keys, id: "a", last: 10, limit: 10, bytes_max: 1_000 }.call();
    assert_eq!(FindId::parse(run(&mut rig.connection, &call).unwrap()).unwrap(), None);
}
