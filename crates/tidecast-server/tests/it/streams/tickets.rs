//! Streams that require a ticket: which requests are accepted, which pages may read the response, and that no ticket is
//! ever logged.

use serde_json::json;
use tidecast_test::{EventStream, HttpConnection, HttpResponse, HubProcess, ResponseHead, eventually, request_bytes};

use crate::{
    TIDECAST,
    support::{sign_claims, sign_ticket, unix_time},
};

const KEY: &str = "s3cret!-of-thirty-two-bytes-or-more";

const APP: &str = "https://app.example";

fn start(more: &[&str]) -> HubProcess {
    TIDECAST.serve(&[&["--publish-key", KEY, "--tickets"], more].concat())
}

async fn publish(hub: &HubProcess, channel: &str, data: &str) -> HttpResponse {
    let authorization = format!("Bearer {KEY}");
    let body = json!({"channel": channel, "data": data}).to_string();
    let headers = [("Content-Type", "application/json"), ("Authorization", authorization.as_str())];
    let response = hub.request("POST", "/publish", &headers, body.as_bytes()).await;
    assert_eq!(response.head.status, 200, "{response:?}");
    response
}

async fn refused(hub: &HubProcess, status: u16, target: &str, headers: &[(&str, &str)]) -> String {
    let response = hub.request("GET", target, headers, b"").await;
    let detail = response.problem(status);
    assert_eq!(response.head.header("www-authenticate").is_some(), status == 401, "{response:?}");
    assert_eq!(response.head.header("cache-control"), Some("no-store"));
    detail
}

#[tokio::test]
async fn a_stream_requires_a_ticket_for_all_its_channels() {
    let hub = start(&[]);
    let both = sign_ticket(KEY, &["a", "b c"], 3_600);
    let default = sign_ticket(KEY, &["sse"], 3_600);
    let key = format!("Bearer {KEY}");
    let bearer = format!("Bearer {both}");
    // With a ticket in the query, an `Authorization` header is the proxy's and is ignored.
    for (target, authorization) in [
        (format!("/stream?channel=a&ticket={both}"), None),
        (format!("/stream?ticket={both}&channel=b%20c&channel=a"), None),
        (format!("/stream?channel=a&ticket={both}"), Some("Basic czNjcmV0IQ==")),
        (format!("/stream?channel=a&ticket={both}"), Some("Bearer of-a-proxy")),
        (format!("/stream?ticket={default}"), None),
        (format!("/stream?channel=&ticket={default}"), None),
        ("/stream?channel=a&channel=b+c".to_owned(), Some(bearer.as_str())),
        ("/stream?channel=whatever".to_owned(), Some(key.as_str())),
        (format!("/stream?channel=whatever&ticket={both}"), Some(key.as_str())),
    ] {
        let headers: Vec<_> = authorization.iter().map(|value| ("Authorization", *value)).collect();
        let mut stream = EventStream::open(hub.address, &target, &headers).await;
        let channel = if target.contains("whatever") {
            "whatever"
        } else if target.contains("channel=a") {
            "a"
        } else {
            "sse"
        };
        publish(&hub, channel, "hello").await;
        assert_eq!(stream.message().await.data, "hello", "{target}");
        let head = hub.request("HEAD", &target, &headers, b"").await.head;
        assert_eq!(head.status, 200, "{target}");
    }
    for (target, names) in [
        (format!("/stream?ticket={both}"), "`sse`"),
        (format!("/stream?channel=&ticket={both}"), "`sse`"),
        (format!("/stream?channel=c&ticket={both}"), "`c`"),
        (format!("/stream?channel=a&channel=analytics&ticket={both}"), "`analytics`"),
        (format!("/stream?channel=A&ticket={both}"), "`A`"),
    ] {
        let detail = refused(&hub, 403, &target, &[]).await;
        assert!(detail.contains(names) && detail.contains("`subscribe`"), "{target}: {detail}");
        assert_eq!(hub.request("HEAD", &target, &[], b"").await.head.status, 403, "{target}");
    }
}

#[tokio::test]
async fn an_invalid_ticket_is_refused_with_the_reason() {
    let hub = start(&[]);
    let good = sign_ticket(KEY, &["a"], 3_600);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    let changed = format!("{signed}.{first}{}", &signature[1..]);
    let claims = |claims: &serde_json::Value| sign_claims(KEY, claims);
    let long = "x".repeat(40 * 1024);
    for (given, status, expected_text) in [
        (String::new(), 401, "three parts"),
        ("nonsense".to_owned(), 401, "three parts"),
        ("%ff%00".to_owned(), 401, "three parts"),
        (long, 401, "longer than 32 KiB"),
        (changed, 401, "signature"),
        (sign_ticket("another key", &["a"], 3_600), 401, "earlier key"),
        (sign_ticket(KEY, &["a"], -1), 401, "expired"),
        (claims(&json!({"use": "publish", "subscribe": ["a"], "exp": unix_time() + 60})), 401, "`use`"),
        (claims(&json!({"use": "ticket", "subscribe": ["a"]})), 401, "`exp`"),
        (claims(&json!({"use": "ticket", "subscribe": ["a"], "exp": (unix_time() + 60).to_string()})), 401, "`exp`"),
        (claims(&json!({"use": "ticket", "subscribe": "a", "exp": unix_time() + 60})), 401, "`subscribe`"),
        (format!("{good}&ticket={good}"), 400, "more than once"),
        (format!("{good}&last=x"), 200, ""),
        (format!("{good}&channel=%ff"), 400, "UTF-8"),
    ] {
        let target = format!("/stream?channel=a&ticket={given}");
        if status == 200 {
            // A valid ticket does not hide other errors.
            assert!(refused(&hub, 400, &target, &[]).await.contains("`last`"));
            continue;
        }
        let detail = refused(&hub, status, &target, &[]).await;
        assert!(detail.contains(expected_text), "{expected_text}: {detail}");
        assert!(!detail.contains("eyJ"), "{detail}");
    }
    for headers in [&[][..], &[("Authorization", "Basic czNjcmV0IQ==")], &[("Authorization", "Bearer")]] {
        let detail = refused(&hub, 401, "/stream?channel=a", headers).await;
        for part in ["?ticket=", "Bearer TICKET", "publish key"] {
            assert!(detail.contains(part), "{part}: {detail}");
        }
    }
    let wrong_key = refused(&hub, 401, "/stream", &[("Authorization", "Bearer s3cret")]).await;
    assert!(wrong_key.contains("neither the publish key nor a ticket"), "{wrong_key}");
    assert_eq!(hub.request("POST", "/stream", &[], b"").await.problem(405), "POST is not allowed here; use GET");
}

/// A refused request does not count against the limits, and is refused also if the hub is full.
#[tokio::test]
async fn a_refusal_does_not_depend_on_the_limits() {
    let hub = start(&["--streams-max", "0"]);
    refused(&hub, 401, "/stream?channel=a", &[]).await;
    let good = sign_ticket(KEY, &["a"], 3_600);
    refused(&hub, 403, &format!("/stream?channel=b&ticket={good}"), &[]).await;
    assert_eq!(hub.metric("tidecast_streams_refused_total{reason=\"full\"}").await, 0);
    let full = hub.request("GET", &format!("/stream?channel=a&ticket={good}"), &[("Origin", APP)], b"").await;
    assert_eq!(full.head.status, 200);
    assert!(full.text().starts_with("retry: "), "{full:?}");
    // The page must be able to read the refusal, as its browser gives up otherwise.
    assert_eq!(full.head.header("access-control-allow-origin"), Some(APP));
    assert_eq!(hub.metric("tidecast_streams_refused_total{reason=\"full\"}").await, 1);
}

#[tokio::test]
async fn a_ticket_permits_streams_only() {
    let hub = start(&[]);
    let good = sign_ticket(KEY, &["a"], 3_600);
    let bearer = format!("Bearer {good}");
    let headers = [("Content-Type", "text/plain"), ("Authorization", bearer.as_str())];
    for (method, path) in [
        ("POST", "/publish"),
        ("GET", "/channels"),
        ("GET", "/channels/a"),
        ("GET", "/channels/a/events"),
        ("DELETE", "/channels/a"),
        ("GET", "/metrics"),
    ] {
        let response = hub.request(method, path, &headers, b"x").await;
        assert!(response.problem(401).contains("a ticket opens streams only"), "{response:?}");
        let in_address = format!("{path}?channel=a&ticket={good}");
        let response = hub.request(method, &in_address, &[("Content-Type", "text/plain")], b"x").await;
        assert!(response.problem(401).contains("is missing"), "{response:?}");
    }
    assert_eq!(hub.metric("tidecast_events_published_total").await, 0);
}

/// A browser reconnects with the ticket and the last event id that it has.
#[tokio::test]
async fn a_stream_resumes_with_the_same_ticket() {
    let hub = start(&[]);
    let mut source = hub.source(&format!("/stream?channel=a&ticket={}", sign_ticket(KEY, &["a"], 3_600)));
    source.connected().await;
    for number in 0..6 {
        publish(&hub, "a", &number.to_string()).await;
        if number % 2 == 1 {
            let other = source.cut();
            assert!(!other.iter().any(|item| matches!(item, tidecast::wire::Item::Message(_))), "{other:?}");
        }
        assert_eq!(source.message().await.data, number.to_string());
    }
}

/// A ticket's expiry limits when a stream may be opened.
#[tokio::test]
async fn an_open_stream_outlives_its_ticket() {
    let hub = start(&[]);
    let (mut stream, target) = about_to_expire(&hub).await;
    let asked = async || hub.request("HEAD", &target, &[], b"").await.head.status;
    eventually("the end of the ticket", async || asked().await == 401).await;
    assert!(refused(&hub, 401, &target, &[]).await.contains("expired"));
    publish(&hub, "a", "still here").await;
    assert_eq!(stream.message().await.data, "still here");
}

/// Opens a stream with a ticket that expires soon. How soon depends on how long opening takes.
async fn about_to_expire(hub: &HubProcess) -> (EventStream, String) {
    for seconds in [2, 4, 8, 16] {
        let target = format!("/stream?channel=a&ticket={}", sign_ticket(KEY, &["a"], seconds));
        let mut connection = HttpConnection::open(hub.address).await;
        connection.send(&request_bytes(hub.address, "GET", &target, &[], b"")).await;
        let head = connection.head().await;
        if head.status == 200 {
            return (EventStream::after_head(head, connection), target);
        }
    }
    panic!("no ticket was taken");
}

fn may_read(head: &ResponseHead, origin: &str) -> bool {
    let given = head.header("access-control-allow-origin");
    assert!(given.is_none_or(|given| given == origin), "{head:?}");
    let vary = head.header("vary").unwrap_or_default();
    assert!(vary.to_lowercase().split(',').any(|name| name.trim() == "origin"), "{head:?}");
    assert_eq!(head.header("access-control-allow-credentials"), given.map(|_| "true"), "{head:?}");
    given.is_some()
}

#[tokio::test]
async fn a_page_of_any_origin_may_read_with_its_ticket() {
    let hub = start(&["--cors-origin", "https://known.example"]);
    let own = format!("http://{}", hub.address);
    let good = sign_ticket(KEY, &["a"], 3_600);
    for origin in [own.as_str(), APP, "null", "https://known.example"] {
        let headers = [("Origin", origin)];
        let knows = origin == "https://known.example";
        let target = format!("/stream?channel=a&ticket={good}");
        let stream = EventStream::open(hub.address, &target, &headers).await;
        assert!(may_read(&stream.head, origin));
        // Errors are readable too.
        for target in [format!("/stream?channel=b&ticket={good}"), format!("/stream?channel=a&last=x&ticket={good}")] {
            assert!(may_read(&hub.request("GET", &target, &headers, b"").await.head, origin), "{target}");
        }
        let without = hub.request("GET", "/stream?channel=a", &headers, b"").await;
        assert_eq!((without.head.status, may_read(&without.head, origin)), (401, knows));
        let expired = format!("/stream?channel=a&ticket={}", sign_ticket(KEY, &["a"], -1));
        let expired = hub.request("GET", &expired, &headers, b"").await;
        assert_eq!((expired.head.status, may_read(&expired.head, origin)), (401, knows));
    }
    let stream = EventStream::open(hub.address, &format!("/stream?channel=a&ticket={good}"), &[]).await;
    assert!(!may_read(&stream.head, ""));
}

/// A proxy that adds a ticket has accepted the browser by its cookies, which also come with a page of another site.
#[tokio::test]
async fn a_ticket_that_a_proxy_adds_lets_no_other_origin_read() {
    let hub = start(&["--cors-origin", "https://known.example"]);
    let claims = serde_json::json!({"use": "ticket", "subscribe": ["a"], "exp": unix_time() + 60, "cors": false});
    let ticket = sign_claims(KEY, &claims);
    let target = format!("/stream?channel=a&ticket={ticket}");
    for origin in [APP, "null"] {
        let response = hub.request("GET", &target, &[("Origin", origin)], b"").await;
        assert!(response.problem(403).contains("--cors-origin") || origin == "null", "{response:?}");
        assert!(!may_read(&response.head, origin));
    }
    let stream = EventStream::open(hub.address, &target, &[("Origin", "https://known.example")]).await;
    assert!(may_read(&stream.head, "https://known.example"));
    // A page of the same origin, as the browser says, and a client that is not a browser.
    for headers in [&[][..], &[("Sec-Fetch-Site", "same-origin"), ("Origin", APP)]] {
        assert_eq!(EventStream::open(hub.address, &target, headers).await.head.status, 200);
    }
    hub.request("GET", &target, &[("Sec-Fetch-Site", "cross-site")], b"").await.problem(403);
}

#[tokio::test]
async fn a_preflight_request_is_answered() {
    let own: [&[&str]; 2] = [&[], &["--cors-origin", "https://known.example"]];
    for more in own {
        let hub = start(more);
        for origin in [APP, "null", "https://known.example"] {
            let asked = [
                ("Origin", origin),
                ("Access-Control-Request-Method", "GET"),
                (
                    "Access-Control-Request-Headers",
                    "authorization,cache-control,last-event-id,traceparent,datastar-request",
                ),
            ];
            let response = hub.request("OPTIONS", "/stream?channel=a", &asked, b"").await;
            assert_eq!((response.head.status, response.body.len()), (204, 0));
            assert!(may_read(&response.head, origin));
            assert_eq!(response.head.header("access-control-allow-methods"), Some("GET"));
            let allowed = response.head.header("access-control-allow-headers");
            assert_eq!(allowed, Some(asked[2].1));
            assert_eq!(response.head.header("access-control-max-age"), Some("7200"));
        }
    }
}

/// Without `--tickets` the hub ignores tickets.
#[tokio::test]
async fn a_hub_without_tickets_ignores_them() {
    let hub = TIDECAST.serve(&["--publish-key", KEY]);
    for given in [sign_ticket(KEY, &["a"], 3_600), sign_ticket(KEY, &["b"], -1), "nonsense".to_owned()] {
        let target = format!("/stream?channel=a&ticket={given}");
        assert_eq!(hub.stream(&target).await.head.status, 200);
        let of_others = hub.request("GET", &target, &[("Origin", APP)], b"").await;
        of_others.problem(403);
        assert_eq!(of_others.head.header("access-control-allow-origin"), None);
    }
    let asked = [("Origin", APP), ("Access-Control-Request-Method", "GET")];
    assert_eq!(hub.request("OPTIONS", "/stream", &asked, b"").await.head.status, 405);
}

/// Any client that reached a hub could read every channel, on Redis also those of other programs.
#[tokio::test]
async fn public_channels_are_a_list_of_patterns() {
    let anonymous = ["--anonymous-subscribe", "news/*", "--anonymous-subscribe", "a\\*b"];
    let hub = TIDECAST.serve(&[&["--publish-key", KEY], &anonymous[..]].concat());
    let key = format!("Bearer {KEY}");
    let good = sign_ticket(KEY, &["secret"], 3_600);
    let expired = sign_ticket(KEY, &["secret"], -1);
    for (target, status) in [
        ("/stream?channel=news/1&channel=news/2".to_owned(), 200),
        ("/stream?channel=a*b".to_owned(), 200),
        ("/stream?channel=aXb".to_owned(), 401),
        ("/stream".to_owned(), 401),
        ("/stream?channel=celery.pidbox".to_owned(), 401),
        ("/stream?channel=news/1&channel=secret".to_owned(), 401),
        (format!("/stream?channel=news/1&channel=secret&ticket={good}"), 200),
        (format!("/stream?channel=other&ticket={good}"), 403),
        (format!("/stream?channel=secret&ticket={expired}"), 401),
        // A public channel needs no valid ticket.
        (format!("/stream?channel=news/1&ticket={expired}"), 200),
    ] {
        assert_eq!(hub.request("HEAD", &target, &[], b"").await.head.status, status, "{target}");
        assert_eq!(hub.request("HEAD", &target, &[("Authorization", &key)], b"").await.head.status, 200, "{target}");
    }
    // A ticket lets a page of another origin read; a public channel alone does not.
    let page = [("Origin", APP)];
    hub.request("GET", "/stream?channel=news/1", &page, b"").await.problem(403);
    let stream = EventStream::open(hub.address, &format!("/stream?channel=news/1&ticket={good}"), &page).await;
    assert!(may_read(&stream.head, APP));
    let refused = async |cause: &str| {
        let name = format!("tidecast_requests_refused_total{{cause=\"{cause}\"}}");
        let scrape = hub.request("GET", "/metrics", &[("Authorization", &key)], b"").await.text();
        scrape.lines().any(|line| line.starts_with(&name) && !line.ends_with(" 0"))
    };
    for cause in ["ticket-missing", "ticket-expired", "channel-not-in-ticket", "origin"] {
        assert!(refused(cause).await, "{cause}");
    }
    // A stream also accepts the key, so anything else in its place counts as a guess.
    let guess = [("Authorization", "Bearer guess")];
    for number in 1..=11 {
        let response = hub.request("GET", "/stream?channel=secret", &guess, b"").await;
        assert_eq!(response.head.status, if number <= 10 { 401 } else { 429 }, "{number}: {response:?}");
    }
    // With `--tickets`, other paths remain closed. Without a key nobody can sign a ticket, and the response says so.
    let hub = start(&["--anonymous-subscribe", "news/*"]);
    assert_eq!(hub.request("HEAD", "/stream?channel=news/1", &[], b"").await.head.status, 200);
    refused_with(&hub, "/stream?channel=a", "?ticket=").await;
    let hub = TIDECAST.serve(&anonymous);
    refused_with(&hub, "/stream?channel=a", "--ticket-key").await;
}

async fn refused_with(hub: &HubProcess, target: &str, remedy: &str) {
    assert!(refused(hub, 401, target, &[]).await.contains(remedy), "{remedy}");
}

/// No ticket appears in the log at any level and for any error.
#[tokio::test]
async fn no_ticket_is_ever_logged() {
    for format in ["text", "json"] {
        let hub = start(&["--log", "trace", "--log-format", format]);
        let tickets =
            [sign_ticket(KEY, &["a"], 3_600), sign_ticket(KEY, &["a"], -1), sign_ticket("another key", &["a"], 3_600)];
        let mut responses = Vec::new();
        for ticket in &tickets {
            let bearer = format!("Bearer {ticket}");
            for path in
                ["stream?channel=a", "stream?channel=b", "stream?last=x", "", "nothing", "channels/a", "metrics"]
            {
                let separator = if path.contains('?') { '&' } else { '?' };
                let target = format!("/{path}{separator}ticket={ticket}");
                for (method, target) in [("GET", &target), ("POST", &target), ("OPTIONS", &target), ("BREW", &target)] {
                    let mut connection = HttpConnection::open(hub.address).await;
                    let headers = [("Authorization", bearer.as_str()), ("Referer", target.as_str())];
                    connection.send(&request_bytes(hub.address, method, target, &headers, b"")).await;
                    let head = connection.head().await;
                    // A stream does not end by itself.
                    if head.header("content-type").is_none_or(|kind| !kind.starts_with("text/event-stream")) {
                        responses.push(format!("{head:?}"));
                    }
                }
            }
            // Bytes that are not a request.
            for bytes in [
                format!("GET /stream?ticket={ticket} HTTP/9.9\r\n\r\n"),
                format!("GET /stream?ticket={ticket}\r\n\r\n"),
                format!("GET /stream?channel=a&ticket={ticket} HTTP/1.1\r\nHost: a\r\nno header\r\n\r\n"),
                format!("GET /stream?channel=a&ticket={ticket}{} HTTP/1.1\r\n\r\n", "x".repeat(70_000)),
            ] {
                responses.push(format!("{:?}", hub.send_raw(bytes.as_bytes(), "GET").await));
            }
        }
        responses.push(hub.get("/metrics").await.text());
        // The whole life of a stream.
        let mut stream = EventStream::open(hub.address, &format!("/stream?channel=a&ticket={}", tickets[0]), &[]).await;
        publish(&hub, "a", "hello").await;
        assert_eq!(stream.message().await.data, "hello");
        drop(stream);
        hub.until_metric("tidecast_streams", 0).await;

        let logged = hub.stderr();
        // Neither the hub nor its dependencies log anything at the trace level.
        assert!(logged.contains("DEBUG") && logged.contains("request refused"), "{logged}");
        let written = [logged, hub.stdout(), responses.join("\n")].join("\n");
        for ticket in &tickets {
            for part in ticket.split('.').skip(1) {
                assert!(!written.contains(&part[..20]), "{written}");
            }
        }
        assert!(!written.contains(KEY), "{written}");
    }
}

/// Without the flag an application's tickets protected nothing, and nobody said so.
#[tokio::test]
async fn a_hub_that_looks_at_no_ticket_says_so_once() {
    let hub = TIDECAST.serve(&["--publish-key", KEY]);
    let secret = sign_ticket(KEY, &["a"], 3_600);
    drop(EventStream::open(hub.address, "/stream?channel=other", &[]).await);
    assert!(!hub.stderr().contains("ticket"), "{}", hub.stderr());
    for _ in 0..2 {
        drop(EventStream::open(hub.address, &format!("/stream?channel=other&ticket={secret}"), &[]).await);
    }
    let output = || hub.stderr().matches("start it with --tickets").count();
    eventually("it is said", async || output() == 1).await;
    assert!(!hub.stderr().contains(&secret));
}
