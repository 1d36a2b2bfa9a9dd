//! Where the stream of a request starts.

use axum::{
    Router,
    extract::{FromRequestParts, Path, State},
    routing,
};
use tidecast::{Hub, Start};
use tidecast_axum::{Problem, ResumeFrom, Sse};

use crate::exchange::{data, get, get_after, next, open, publish, send};

async fn start(address: &str, headers: &[&str]) -> Start {
    let mut request = get(address);
    for value in headers {
        let value = http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
        request.headers_mut().append("last-event-id", value);
    }
    ResumeFrom::from_request_parts(&mut request.into_parts().0, &()).await.unwrap().0
}

#[tokio::test]
async fn the_header_precedes_the_id_in_the_address_which_precedes_last() {
    let after = |id: &str| Start::After(id.into());
    for (address, headers, expected) in [
        ("/", vec![], Start::Live),
        ("/?last=5", vec![], Start::Last(5)),
        ("/?last=0", vec![], Start::Last(0)),
        ("/?last=1000&last=", vec![], Start::Last(1000)),
        ("/?last_event_id=a&last=5", vec![], Start::AfterOrLast(b"a".to_vec(), 5)),
        ("/?last=5&lastEventId=a", vec![], Start::AfterOrLast(b"a".to_vec(), 5)),
        ("/?lastEventId=a&last_event_id=b", vec![], after("a")),
        // A browser reconnects with the same address, and sends the latest id in the header.
        ("/?last_event_id=a&last=5", vec!["h"], Start::AfterOrLast(b"h".to_vec(), 5)),
        ("/", vec!["first", "second"], after("first")),
        ("/", vec!["größe 100%+"], after("größe 100%+")),
        ("/?last_event_id=gr%C3%B6%C3%9Fe+100%25%2B", vec![], after("größe 100%+")),
        // Empty values count as absent.
        ("/?last_event_id=a", vec![""], after("a")),
        ("/?last_event_id=&last=5", vec![""], Start::Last(5)),
        ("/?last_event_id", vec![], Start::Live),
    ] {
        assert_eq!(start(address, &headers).await, expected, "{address} {headers:?}");
    }
    // Bytes that are not text are an id too, an unknown one.
    assert_eq!(start("/?last_event_id=%FF%00", &[]).await, Start::After(vec![0xff, 0]));
}

#[tokio::test]
async fn a_handler_that_chooses_the_channels_can_resume() {
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

    assert_eq!(send(&app, get("/7?last=many")).await.status(), 400);
    assert_eq!(send(&app, get("/%07")).await.status(), 400, "no name of a channel");
    hub.close();
    assert_eq!(send(&app, get("/7")).await.status(), 503);
}
