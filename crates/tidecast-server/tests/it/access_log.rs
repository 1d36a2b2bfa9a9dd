//! The access log. `--log tidecast::access=trace` was documented and never logged anything.

use serde_json::Value;
use tidecast_test::{HubProcess, eventually};

use crate::{TIDECAST, support::sign_ticket};

const KEY: &str = "s3cret!-of-thirty-two-bytes-or-more";

/// Returns the lines of the access log.
fn lines(hub: &HubProcess) -> Vec<Value> {
    let lines = hub.stderr().lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect::<Vec<_>>();
    lines.into_iter().filter(|line| line["target"] == "tidecast::access").collect()
}

async fn send_requests(hub: &HubProcess) {
    let bearer = format!("Bearer {KEY}");
    let text = ("Content-Type", "text/plain");
    let key = ("Authorization", bearer.as_str());
    let stream = hub.stream(&format!("/stream?channel=a&ticket={}", sign_ticket(KEY, &["a"], 3_600))).await;
    // The fast path answers the first request and hyper the second.
    hub.request("POST", "/publish", &[text, key], b"x").await;
    hub.request("POST", "/publish?channel=secret", &[text, key, ("Connection", "close")], b"x").await;
    hub.request("POST", "/publish", &[text, ("Authorization", "Bearer wrong-secret")], b"x").await;
    hub.request("GET", "/stream?channel=a&ticket=wrong-secret", &[], b"").await;
    hub.get("/channels/a%0A%1Bb?_=secret").await;
    drop(stream);
    hub.until_metric("tidecast_streams", 0).await;
}

#[tokio::test]
async fn every_request_is_logged_without_secrets() {
    for switch in [&["--access-log"][..], &["--log", "tidecast::access=trace"]] {
        let hub = TIDECAST.serve(&[&["--publish-key", KEY, "--tickets", "--log-format", "json"], switch].concat());
        send_requests(&hub).await;
        let ended = || lines(&hub).iter().any(|line| line["fields"]["message"] == "stream ended");
        eventually("the line of the stream's end", async || ended()).await;
        let output = lines(&hub);
        let of = |method: &str, path: &str| -> Vec<u64> {
            let fields = output.iter().map(|line| &line["fields"]);
            let those = fields.filter(|fields| fields["method"] == method && fields["path"] == path);
            those.map(|fields| fields["status"].as_u64().expect("a status")).collect()
        };
        assert_eq!(of("POST", "/publish"), [200, 200, 401], "{output:?}");
        assert_eq!(of("GET", "/stream"), [200, 401], "{output:?}");
        assert_eq!(of("GET", "/channels/a%0A%1Bb"), [400], "{output:?}");
        for line in &output {
            assert_eq!(line["fields"]["client"], "127.0.0.1", "{line}");
            assert!(line["fields"]["duration_us"].is_u64(), "{line}");
            let is_stream = line["fields"]["path"] == "/stream" && line["fields"]["status"] == 200;
            let has_bytes = line["fields"]["bytes"].is_u64();
            assert!(has_bytes != (is_stream || line["fields"]["message"] == "stream ended"), "{line}");
        }
        let stderr = hub.stderr();
        assert!(!stderr.contains("secret") && !stderr.contains("eyJ") && !stderr.contains(KEY), "{stderr}");
    }
}

#[tokio::test]
async fn the_access_log_is_off_by_default() {
    for log in ["info", "debug"] {
        let hub = TIDECAST.serve(&["--publish-key", KEY, "--tickets", "--log-format", "json", "--log", log]);
        send_requests(&hub).await;
        assert_eq!(lines(&hub), [Value::Null; 0], "{log}");
    }
}
