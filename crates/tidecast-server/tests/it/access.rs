//! Permissions of requests, and configurations that the hub refuses to start with.

use tidecast_test::{EventStream, Process, eventually};

use crate::TIDECAST;

const TEXT: (&str, &str) = ("Content-Type", "text/plain");

#[tokio::test]
async fn with_a_key_publishing_and_inspecting_require_it() {
    let asked = [
        ("POST", "/publish"),
        ("GET", "/channels"),
        ("GET", "/channels/a"),
        ("DELETE", "/channels/a"),
        ("GET", "/channels/a/events"),
        ("GET", "/metrics"),
    ];
    for (method, target) in asked {
        // Each case has its own hub, as responses to many wrong keys are delayed.
        let hub = TIDECAST.serve(&["--publish-key", "s3cret!"]);
        for (authorization, expected_text) in [
            (None, "is missing"),
            (Some(""), "is missing"),
            (Some("s3cret!"), "is missing"),
            (Some("Basic czNjcmV0IQ=="), "is missing"),
            (Some("Bearer"), "is missing"),
            (Some("Bearer "), ""),
            (Some("Bearer s3cret"), "is wrong"),
            (Some("Bearer s3cret!!"), "is wrong"),
            (Some("Bearer S3CRET!"), "is wrong"),
            (Some("Bearer \"s3cret!\""), "is wrong"),
        ] {
            let mut headers = vec![TEXT];
            headers.extend(authorization.map(|value| ("Authorization", value)));
            let response = hub.request(method, target, &headers, b"x").await;
            assert!(response.problem(401).contains(expected_text), "{authorization:?}: {response:?}");
            assert_eq!(response.head.header("www-authenticate"), Some("Bearer"));
            assert!(!response.text().contains("s3cret"), "{response:?}");
        }
        for authorization in ["Bearer s3cret!", "bearer s3cret!", "BEARER   s3cret!"] {
            let response = hub.request(method, target, &[TEXT, ("Authorization", authorization)], b"x").await;
            assert!(matches!(response.head.status, 200 | 204 | 404), "{method} {target}: {response:?}");
        }
        assert!(!hub.stderr().contains("s3cret"), "{}", hub.stderr());
    }
    let hub = TIDECAST.serve(&["--publish-key", "s3cret!"]);
    // With the key, neither `Host` nor `Origin` is checked.
    let foreign = [TEXT, ("Authorization", "Bearer s3cret!"), ("Host", "hub.example"), ("Origin", "https://a.example")];
    assert_eq!(hub.request("POST", "/publish", &foreign, b"x").await.head.status, 200);
    for target in ["/", "/tidecast.js", "/console/console.js", "/healthz", "/readyz"] {
        assert_eq!(hub.request("GET", target, &[("Host", "hub.example")], b"").await.head.status, 200, "{target}");
    }
    EventStream::open(hub.address, "/stream", &[("Host", "hub.example")]).await;
    assert!(!hub.stderr().contains("s3cret"), "{}", hub.stderr());
}

#[tokio::test]
async fn with_open_publish_any_host_may_publish_but_no_page_of_another_origin() {
    let hub = TIDECAST.serve(&["--open-publish"]);
    for host in ["hub.example", "10.0.0.1:8000"] {
        assert_eq!(hub.request("POST", "/publish", &[TEXT, ("Host", host)], b"x").await.head.status, 200);
        assert_eq!(hub.request("GET", "/channels", &[("Host", host)], b"").await.head.status, 200);
    }
    let own = [TEXT, ("Host", "hub.example"), ("Origin", "https://hub.example")];
    assert_eq!(hub.request("POST", "/publish", &own, b"x").await.head.status, 200);
    let other = [TEXT, ("Host", "hub.example"), ("Origin", "https://evil.example")];
    hub.request("POST", "/publish", &other, b"x").await.problem(403);
}

/// With `cors_origin`, or without, the other methods of `/publish` got a 405 without a key or with any host, and no refusal
/// was counted.
#[tokio::test]
async fn every_method_of_publish_is_guarded() {
    let cors = ["--cors-origin", "https://app.example"];
    for cors in [&[][..], &cors] {
        let hub = TIDECAST.serve(&[&["--publish-key", "s3cret!", "--allowed-hosts", "hub.example"], cors].concat());
        let (host, key) = (("Host", "hub.example"), ("Authorization", "Bearer s3cret!"));
        for method in ["GET", "PUT"] {
            hub.request(method, "/publish", &[host], b"").await.problem(401);
            hub.request(method, "/publish", &[key, ("Host", "evil.example")], b"").await.problem(403);
            let response = hub.request(method, "/publish", &[host, key], b"").await;
            assert_eq!((response.head.status, response.head.header("allow")), (405, Some("POST")), "{method} {cors:?}");
        }
        let metrics = hub.request("GET", "/metrics", &[host, key], b"").await.text();
        for cause in ["key-missing", "host"] {
            let count = format!("{{cause=\"{cause}\"}} 2\n");
            assert!(metrics.contains(&count), "{cause} {cors:?}: {metrics}");
        }
    }
}

/// With `cors_origin` the 405 of `/stream` was sent to any host, and spelt its `Allow` differently.
#[tokio::test]
async fn a_405_of_the_stream_is_the_same_with_cors() {
    for cors in [&[][..], &["--cors-origin", "https://app.example"]] {
        let hub = TIDECAST.serve(cors);
        for method in ["PUT", "POST"] {
            hub.request(method, "/stream", &[("Host", "evil.example")], b"").await.problem(403);
            let response = hub.request(method, "/stream", &[], b"").await;
            assert_eq!(
                (response.head.status, response.head.header("allow")),
                (405, Some("GET,HEAD")),
                "{method} {cors:?}"
            );
        }
    }
}

/// The 405 of `/publish` was sent without CORS headers.
#[tokio::test]
async fn errors_have_cors_headers_for_allowed_origins() {
    const APP: &str = "http://localhost:5000";
    let hub = TIDECAST.serve(&["--cors-origin", "HTTP://LocalHost:5000", "--cors-origin", "https://app.example"]);
    for origin in [APP, "https://app.example"] {
        let origin_header = ("Origin", origin);
        let stream = EventStream::open(hub.address, "/stream", &[origin_header]).await;
        let published = hub.request("POST", "/publish", &[TEXT, origin_header], b"x").await;
        assert_eq!(published.head.status, 200);
        let refused = [
            hub.request("GET", "/stream?last=x", &[origin_header], b"").await,
            hub.request("POST", "/publish", &[origin_header], b"x").await,
            hub.request("GET", "/publish", &[origin_header], b"").await,
            hub.request("POST", "/publish", &[TEXT, origin_header, ("Host", "evil.example")], b"x").await,
        ];
        assert_eq!(refused.clone().map(|response| response.head.status), [400, 415, 405, 403]);
        for head in [stream.head, published.head].into_iter().chain(refused.map(|response| response.head)) {
            assert_eq!(head.header("access-control-allow-origin"), Some(origin), "{head:?}");
            assert_eq!(head.header("access-control-allow-credentials"), Some("true"), "{head:?}");
            assert!(head.header("vary").is_some_and(|vary| vary.to_lowercase().contains("origin")), "{head:?}");
        }
    }
    let preflight = [
        ("Origin", APP),
        ("Access-Control-Request-Method", "POST"),
        // Requests with the headers of tracing libraries, htmx and datastar were refused, as the list of allowed
        // headers was fixed.
        ("Access-Control-Request-Headers", "content-type,idempotency-key,x-requested-with,traceparent,hx-request"),
    ];
    for target in ["/publish", "/stream"] {
        let response = hub.request("OPTIONS", target, &preflight, b"").await;
        assert_eq!((response.head.status, response.body.len()), (200, 0));
        assert_eq!(response.head.header("access-control-allow-origin"), Some(APP));
        assert!(response.head.header("access-control-allow-methods").is_some_and(|methods| methods.contains("POST")));
        assert_eq!(response.head.header("access-control-allow-headers"), Some(preflight[2].1), "{target}");
        let stranger = [("Origin", "https://evil.example"), preflight[1], preflight[2]];
        let response = hub.request("OPTIONS", target, &stranger, b"").await;
        assert_eq!(response.head.header("access-control-allow-origin"), None, "{target}");
    }
    // Pages of other origins can neither open a stream nor publish.
    for origin in ["http://localhost:5001", "https://evil.example", "null"] {
        let stream = hub.request("GET", "/stream", &[("Origin", origin)], b"").await;
        assert!(stream.problem(403).contains(origin));
        assert_eq!(stream.head.header("access-control-allow-origin"), None, "{origin}");
        let response = hub.request("POST", "/publish", &[TEXT, ("Origin", origin)], b"x").await;
        assert!(response.problem(403).contains(origin));
        assert_eq!(response.head.header("access-control-allow-origin"), None, "{origin}");
    }
    // Other paths never have CORS headers.
    assert_eq!(
        hub.request("GET", "/channels", &[("Origin", APP)], b"").await.head.header("access-control-allow-origin"),
        None
    );
}

/// An `<img>` or a WebSocket on a page of any site opened a stream, which counted against the limits although the page
/// could not read it.
#[tokio::test]
async fn a_page_of_another_site_opens_no_stream() {
    const APP: &str = "https://app.example";
    let site = |site: &'static str| ("Sec-Fetch-Site", site);
    let hub = TIDECAST.serve(&["--cors-origin", APP]);
    let own = format!("http://{}", hub.address);
    let link = [("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")];
    let frame = [("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")];
    let image = [("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")];
    let websocket = [("Sec-Fetch-Mode", "websocket"), ("Upgrade", "websocket")];
    for (headers, status) in [
        (&[][..], 200),
        (&[("Origin", own.as_str())], 200),
        (&[("Origin", APP), site("cross-site")], 200),
        (&[site("same-origin")], 200),
        // A proxy may have changed the host.
        (&[site("same-origin"), ("Origin", "https://hub.example")], 200),
        (&[site("none"), link[0], link[1]], 200),
        (&[site("cross-site"), link[0], link[1]], 200),
        (&[site("cross-site")], 403),
        (&[site("same-site")], 403),
        (&[site("cross-site"), image[0], image[1]], 403),
        (&[site("cross-site"), frame[0], frame[1]], 403),
        (&[site("cross-site"), ("Origin", "https://evil.example"), websocket[0], websocket[1]], 403),
        (&[("Origin", "https://evil.example"), websocket[1]], 403),
        (&[("Origin", "null")], 403),
    ] {
        for target in ["/stream", "/channels"] {
            let response = hub.request("HEAD", target, headers, b"").await;
            assert_eq!(response.head.status, status, "{target} {headers:?}");
        }
    }
    let published = hub.request("POST", "/publish", &[TEXT, site("cross-site")], b"x").await;
    assert!(published.problem(403).contains("`Sec-Fetch-Site`"), "{published:?}");
    assert_eq!(hub.metric("tidecast_streams").await, 0);
    assert!(hub.metric("tidecast_requests_refused_total{cause=\"origin\"}").await >= 15);
    // The line had only the cause, so that a user saw neither the origin nor the remedy.
    let hub = TIDECAST.serve(&[]);
    hub.request("POST", "/publish", &[TEXT, ("Origin", APP)], b"x").await.problem(403);
    let line = || hub.stderr().lines().find(|line| line.contains("requests refused")).map(str::to_owned);
    eventually("the line", async || line().is_some()).await;
    assert!(line().is_some_and(|line| line.contains(&format!("--cors-origin {APP}"))), "{}", hub.stderr());
    // A page that has the key may open it.
    let hub = TIDECAST.serve(&["--publish-key", "s3cret!"]);
    let with_key = [site("cross-site"), ("Origin", "https://evil.example"), ("Authorization", "Bearer s3cret!")];
    assert_eq!(hub.request("HEAD", "/stream", &with_key, b"").await.head.status, 200);
    hub.request("GET", "/stream", &with_key[..2], b"").await.problem(403);
}

/// A hub that was not on loopback accepted every `Host`, including a name that an attacker's DNS points to the hub.
#[tokio::test]
async fn requests_with_other_hosts_are_refused() {
    let hosts = ["--allowed-hosts", "Hub.example", "--allowed-hosts", "*.internal"];
    let key = ("Authorization", "Bearer s3cret!");
    let hub = TIDECAST.serve(&[&["--publish-key", "s3cret!"], &hosts[..]].concat());
    let targets = [("GET", "/stream"), ("GET", "/channels"), ("POST", "/publish"), ("GET", "/"), ("GET", "/nothing")];
    // A pattern was also compared with the port, whatever the port was.
    for host in [
        "evil.example",
        "hub.example.evil",
        "hub.example@evil.example",
        "internal",
        "",
        "evil.example:a.internal",
        "hub.example:0",
        "a.internal:65536",
    ] {
        for (method, target) in targets {
            // The fast path checks the host, and so does the router behind hyper.
            for headers in [&[TEXT, key, ("Host", host)][..], &[TEXT, key, ("Host", host), ("Connection", "close")]] {
                let response = hub.request(method, target, headers, b"x").await;
                assert!(response.problem(403).contains("--allowed-hosts"), "{method} {target} {host}: {response:?}");
            }
        }
        for target in ["/healthz", "/readyz"] {
            assert_eq!(hub.request("GET", target, &[("Host", host)], b"").await.head.status, 200, "{host}");
        }
    }
    for host in ["hub.example", "HUB.example:8443", "a.internal", "localhost:1", "[::1]"] {
        assert_eq!(hub.request("HEAD", "/stream", &[("Host", host)], b"").await.head.status, 200, "{host}");
        assert_eq!(
            hub.request("POST", "/publish", &[TEXT, key, ("Host", host)], b"x").await.head.status,
            200,
            "{host}"
        );
    }
    assert!(hub.metric("tidecast_requests_refused_total{cause=\"host\"}").await > 0);
    // Without a key, the allowed hosts are added to the names of this machine.
    let hub = TIDECAST.serve(&hosts);
    assert_eq!(hub.request("POST", "/publish", &[TEXT, ("Host", "hub.example")], b"x").await.head.status, 200);
    hub.request("POST", "/publish", &[TEXT, ("Host", "evil.example")], b"x").await.problem(403);
}

/// The publish key opens every stream, so each refusal reveals whether a key is right. A wrong key that came with a
/// foreign `Origin` or a wrong ticket was refused for those only: it was not counted and not delayed.
#[tokio::test]
async fn a_wrong_key_counts_as_a_guess_even_if_the_stream_is_refused_for_another_reason() {
    let page = ("Origin", "http://other.example");
    let (tickets, anonymous) = (["--tickets"], ["--anonymous-subscribe", "news"]);
    for (arguments, target) in [
        (&[][..], "/stream"),
        (&tickets, "/stream?channel=a&ticket=x"),
        (&tickets, "/stream?channel=a&ticket=x&ticket=x"),
        (&anonymous, "/stream?channel=news"),
    ] {
        let key = "a-secret-of-more-than-32-bytes-for-tickets";
        let hub = TIDECAST.serve(&[&["--publish-key", key][..], arguments].concat());
        let ask = async |key: &str| {
            hub.request("HEAD", target, &[page, ("Authorization", &format!("Bearer {key}"))], b"").await
        };
        // A key that only began like a token was not counted.
        for guess in ["guess", "eyJ", "eyJhbGciOiJIUzI1NiJ9", "eyJhbGciOiJIUzI1NiJ9.e30", "eyJ.e30.x=y"].repeat(2) {
            assert_eq!(ask(guess).await.head.status, 401, "{target} {guess}");
        }
        assert_eq!(ask("guess").await.head.status, 429, "{target}");
        // A ticket of another hub is not a guess of the key.
        assert!(matches!(ask("eyJhbGciOiJIUzI1NiJ9.e30.x").await.head.status, 400 | 401 | 403), "{target}");
        assert!(matches!(ask(key).await.head.status, 200), "{target}");
        // A stream that opens without a key reveals nothing about the key.
        if arguments.is_empty() {
            let guess = [("Authorization", "Bearer guess")];
            assert_eq!(hub.request("HEAD", target, &guess, b"").await.head.status, 200);
        }
    }
}

/// 172,000 wrong keys a second were answered without a log line and without a count.
#[tokio::test]
async fn wrong_keys_are_counted_logged_and_delayed_but_the_right_key_is_not() {
    let hub = TIDECAST.serve(&["--publish-key", "s3cret!"]);
    let publish = async |key: &str| hub.request("POST", "/publish", &[TEXT, ("Authorization", key)], b"x").await;
    for _ in 0..10 {
        publish("Bearer wrong").await.problem(401);
    }
    let late = publish("Bearer wrong").await;
    assert!(late.problem(429).contains("too many wrong keys"), "{late:?}");
    assert_eq!((late.head.header("retry-after"), late.head.header("connection")), (Some("60"), Some("close")));
    // A client at the same address with the right key is not delayed, and a request without a key is not a guess.
    assert_eq!(hub.get("/channels").await.head.status, 200);
    assert_eq!(publish("Bearer s3cret!").await.head.status, 200);
    assert_eq!(publish("").await.head.status, 401);
    let refused =
        async |cause: &str| hub.metric(&format!("tidecast_requests_refused_total{{cause=\"{cause}\"}}")).await;
    assert_eq!((refused("key-wrong").await, refused("guessing").await, refused("key-missing").await), (10, 1, 1));
    let lines = || hub.stderr().lines().filter(|line| line.contains("requests refused")).count();
    eventually("a line for each cause", async || lines() == 3).await;
    assert!(hub.stderr().contains("127.0.0.1") && !hub.stderr().contains("s3cret"), "{}", hub.stderr());
}

/// Runs the hub with arguments that it must refuse, and returns its standard error.
fn refusal(arguments: &[&str]) -> String {
    let finished = Process::start(&mut TIDECAST.serve_command(arguments)).finish();
    finished.expect(64);
    assert_eq!(finished.stdout, "", "{arguments:?}");
    finished.stderr
}

#[tokio::test]
async fn a_public_address_without_a_key_is_refused_with_the_remedy() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let stderr = refusal(&["--listen", address]);
        for part in [address, "--publish-key", "TIDECAST_PUBLISH_KEY", "--open-publish"] {
            assert!(stderr.contains(part), "{part} in {stderr}");
        }
    }
}

#[tokio::test]
async fn all_invalid_settings_are_reported_at_once() {
    let stderr = refusal(&[
        "--listen",
        "0.0.0.0:0",
        "--cors-origin",
        "localhost:5000",
        "--cors-origin",
        "http://a.example/path",
        "--cors-origin",
        "*",
        "--header-timeout",
        "0",
        "--body-timeout",
        "0",
        "--stall-timeout",
        "0",
        "--connections-max",
        "0",
        "--retry",
        "25h",
    ]);
    assert_eq!(stderr.lines().count(), 9, "{stderr}");
    for part in [
        "--listen",
        "\"localhost:5000\"",
        "/path",
        "\"*\"",
        "--header-timeout",
        "--body-timeout",
        "--stall-timeout",
        "--connections-max",
        "--retry",
    ] {
        assert!(stderr.contains(part), "{part} in {stderr}");
    }
    for (arguments, expected_text) in [
        (&["--publish-key", ""][..], "--publish-key"),
        (&["--publish-key", "two words"], "--publish-key"),
        (&["--publish-key", "a", "--open-publish"], "contradict"),
        (&["--cors-origin", "http://user@a.example"], "--cors-origin"),
        (&["--keep-alive", "soon"], "--keep-alive"),
        (&["--log-bytes", "1TB"], "--log-bytes"),
        (&["--listen", "nowhere"], "--listen"),
        (&["--no-such-thing"], "--no-such-thing"),
    ] {
        let stderr = refusal(arguments);
        assert!(stderr.contains(expected_text), "{arguments:?}: {stderr}");
    }
}

/// An allowed origin with the default port of its scheme was accepted and never matched what a browser sends. A page
/// without an origin was advised to set one that is refused. Of two hosts only the first was checked.
#[tokio::test]
async fn origins_and_hosts_must_have_the_form_that_browsers_send() {
    let hub = TIDECAST.serve(&["--cors-origin", "http://localhost:80"]);
    let plain = ("Content-Type", "text/plain");
    let response = hub.request("POST", "/publish", &[plain, ("Origin", "http://localhost")], b"x").await;
    assert_eq!(response.head.header("access-control-allow-origin"), Some("http://localhost"), "{response:?}");
    let response = hub.request("POST", "/publish", &[plain, ("Origin", "null")], b"x").await;
    assert!(response.problem(403).contains("serve it over http"), "{response:?}");
    let own = hub.address.to_string();
    let response = hub.request("GET", "/channels", &[("Host", &own), ("Host", "evil.example")], b"").await;
    assert!(response.problem(403).contains("loopback"), "{response:?}");
}
