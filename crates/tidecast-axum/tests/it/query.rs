//! Queries and forms of any bytes.

use percent_encoding::{NON_ALPHANUMERIC, percent_encode, utf8_percent_encode};
use proptest::{collection::vec, prelude::*};
use tidecast::{Hub, limits::SUBSCRIPTION_CHANNELS_MAX};
use tidecast_axum::{internals::query, router};

use crate::exchange::{get, send};

fn encode(text: &str, plus: bool) -> String {
    let encoded = utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    if plus { encoded.replace("%20", "+") } else { encoded }
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        if let Err(problem) = query::pairs(&bytes) {
            prop_assert_eq!(problem.status(), 400);
        }
    }

    #[test]
    fn encoded_pairs_are_parsed_unchanged(pairs in vec((any::<String>(), any::<String>()), 0..20), plus: bool) {
        let encoded: Vec<_> =
            pairs.iter().map(|(name, value)| format!("{}={}", encode(name, plus), encode(value, plus))).collect();
        prop_assert_eq!(query::pairs(encoded.join("&").as_bytes()).unwrap(), pairs);
    }

    #[test]
    fn invalid_utf8_is_refused_and_never_replaced(bytes in vec(any::<u8>(), 1..20)) {
        let pair = format!("data={}", percent_encode(&bytes, NON_ALPHANUMERIC));
        match (query::pairs(pair.as_bytes()), String::from_utf8(bytes)) {
            (Ok(pairs), Ok(text)) => prop_assert_eq!(pairs, [("data".to_owned(), text)]),
            (Err(problem), Err(_)) => prop_assert!(problem.detail().contains("`data`"), "{}", problem.detail()),
            (read, text) => prop_assert!(false, "{:?} and {:?}", read, text),
        }
    }

    #[test]
    fn any_address_gets_a_response(
        query in "((channel|last|open|last_event_id|lastEventId|x)?(=|==)?[a-z0-9%+.,:/?*-]{0,8}&?){0,6}",
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let status = runtime.block_on(async { send(&router(Hub::new()), get(&format!("/?{query}"))).await.status() });
        prop_assert!(status == 200 || status == 400, "{}", status);
    }
}

#[test]
fn percent_signs_without_an_escape_stand_for_themselves() {
    let pairs = query::pairs(b"a=100%&b=%zz&c=%4&%41=%25").unwrap();
    let values: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(values, ["a=100%", "b=%zz", "c=%4", "A=%"]);
}

#[test]
fn there_are_at_most_a_thousand_pairs() {
    let pairs = |count| vec!["a=1"; count].join("&");
    assert_eq!(query::pairs(pairs(query::PAIRS_MAX).as_bytes()).unwrap().len(), query::PAIRS_MAX);
    assert_eq!(query::pairs(pairs(query::PAIRS_MAX + 1).as_bytes()).unwrap_err().status(), 400);
}

#[test]
fn last_is_a_number_from_0_to_1000() {
    for (text, expected) in [("0", 0), ("7", 7), ("1000", 1000), ("007", 7)] {
        assert_eq!(query::parse_last(text).unwrap(), expected);
    }
    for text in ["", "-1", "+1", "1001", "1e3", " 1", "99999999999999999999999", "٣"] {
        assert_eq!(query::parse_last(text).unwrap_err().status(), 400, "{text}");
    }
}

#[tokio::test]
async fn an_invalid_parameter_is_named() {
    let app = router(Hub::new());
    let channels = |count| (0..count).map(|number| format!("channel={number}")).collect::<Vec<_>>().join("&");
    assert_eq!(send(&app, get(&format!("/?{}", channels(SUBSCRIPTION_CHANNELS_MAX)))).await.status(), 200);
    let too_many = channels(SUBSCRIPTION_CHANNELS_MAX + 1);
    let too_long = format!("channel={}", "a".repeat(256));
    for (query, named) in [
        (&*too_many, "at most 64 channels"),
        (&too_long, "at most 255 are allowed"),
        ("channel=a%0Ab", "control character"),
        ("channel=%ff", "`channel` is not UTF-8"),
        ("last=1001", "`last` must be a whole number from 0 to 1000, not \\\"1001\\\""),
        ("last=%ff", "`last` is not UTF-8"),
        ("last=1&last=2", "`last` is given more than once"),
        ("lastEventId=a&lastEventId=b", "`lastEventId` is given more than once"),
        ("open=yes", "`open` must be 1, 0, true or false, not \\\"yes\\\""),
        ("channel[]=a", "`channel[]` is not known here; did you mean `channel`"),
        ("channels=a%2Cb", "`channels` is not known"),
        ("topic=a&last=1", "`topic` is not known"),
        ("stream=a", "`stream` is not known"),
    ] {
        let response = send(&app, get(&format!("/?{query}"))).await;
        assert_eq!(response.status(), 400, "{query}");
        let body = crate::exchange::rest(response.into_body()).await;
        assert!(body.contains(named), "{query}: {body}");
    }
}

/// `last=` was an error although every other parameter may be empty, and so was `open=true`.
#[tokio::test]
async fn empty_parameters_count_as_absent_and_other_names_are_ignored() {
    let app = router(Hub::new());
    for query in [
        "last=",
        "last=&last=5",
        "open=",
        "open=true",
        "open=false",
        "channel=",
        "last_event_id=&lastEventId=a",
        "token=t&version=2",
        "channel=a&topic=b",
    ] {
        assert_eq!(send(&app, get(&format!("/?{query}"))).await.status(), 200, "{query}");
    }
}
