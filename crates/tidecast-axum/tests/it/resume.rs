//! From where a request wants to go on.

use axum::{
    Router,
    extract::{FromRequestParts, Path, State},
    routing,
};
use tidecast::{Hub, Start};
use tidecast_axum::{Problem, ResumeFrom, Sse};

use crate::exchange::{answer, data, get, get_after, next, open, publish};

async fn start(address: &str, headers: &[&str]) -> Start {
    let mut request = get(address);
    for value in headers {
        let value = http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
        request.headers_mut().append("last-event-id", value);
    }
    ResumeFrom::from_request_parts(&mut request.into_parts().0, &()).await.unwrap().0
}

#[tokio::test]
async fn the_header_wins_then_the_id_in_the_address_then_last() {
    let after = |id: &str| Start::After(id.into());
    for (address, headers, expected) in [
        ("/", vec![], Start::Live),
        ("/?last=5", vec![], Start::Last(5)),
        ("/?last=0", vec![], Start::Last(0)),
        ("/?last=1000&last=", vec![], Start::Last(1000)),
        ("/?last_event_id=a&last=5", vec![], Start::AfterOrLast(b"a".to_vec(), 5)),
        ("/?last=5&lastEventId=a", vec![], Start::AfterOrLast(b"a".to_vec(), 5)),
        ("/?lastEventId=a&last_event_id=b", vec![], after("a")),
        // A browser that comes back repeats the address, and says in the header what has happened since.
        ("/?last_event_id=a&last=5", vec!["h"], Start::AfterOrLast(b"h".to_vec(), 5)),
        ("/", vec!["first", "second"], after("first")),
        ("/", vec!["größe 100%+"], after("größe 100%+")),
        ("/?last_event_id=gr%C3%B6%C3%9Fe+100%25%2B", vec![], after("größe 100%+")),
        // What is empty says nothing.
        ("/?last_event_id=a", vec![""], after("a")),
        ("/?last_event_id=&last=5", vec![""], Start::Last(5)),
        ("/?last_event_id", vec![], Start::Live),
    ] {
        assert_eq!(start(address, &headers).await, expected, "{address} {headers:?}");
    }
    // Bytes that are no text are an id as well, if one that nobody knows.
    assert_eq!(start("/?last_event_id=%FF%00", &[]).await, Start::After(vec![0xff, 0]));
}

#[tokio::test]
async fn a_handler_that_chooses_the_channels_resumes_by_it() {
    async fn orders(
        State(hub): State<Hub>,
        Path(shop): Path<String>,
        ResumeFrom(start): ResumeFrom,
    ) -> Result<Sse, Problem> {
        Ok(Sse::new(hub.subscribe([format!("orders.{shop}"), "prices".to_owned()], start)?))
    }
    let hub = Hub::new();
    let app = Router::new().route("/{shop}", routing::get(orders)).with_state(hub.clone());
    let before = publish(&hub, "orders.7", "1");
    publish(&hub, "orders.7", "2");
    publish(&hub, "orders.8", "not of this shop");
    let (mut body, first) = open(&app, get_after("/7?channel=orders.8", &format!("{},0.0", before.id))).await;
    assert!(first.contains(&format!("\nid: {},", before.id)), "{first}");
    assert_eq!(data(&next(&mut body).await), ["2"]);
    publish(&hub, "prices", "3");
    assert_eq!(data(&next(&mut body).await), ["3"]);

    assert_eq!(answer(&app, get("/7?last=many")).await.status(), 400);
    assert_eq!(answer(&app, get("/%07")).await.status(), 400, "no name of a channel");
    hub.close();
    assert_eq!(answer(&app, get("/7")).await.status(), 503);
}
