//! The access log: `--log tidecast::access=trace` stood in the documentation and logged nothing, ever.

use serde_json::Value;
use tidecast_test::{HubProcess, eventually};

use crate::{TIDECAST, support::ticket};

const KEY: &str = "s3cret!-of-thirty-two-bytes-or-more";

/// The lines of the access log.
fn lines(hub: &HubProcess) -> Vec<Value> {
    let lines = hub.stderr().lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect::<Vec<_>>();
    lines.into_iter().filter(|line| line["target"] == "tidecast::access").collect()
}

async fn use_of(hub: &HubProcess) {
    let bearer = format!("Bearer {KEY}");
    let text = ("Content-Type", "text/plain");
    let key = ("Authorization", bearer.as_str());
    let stream = hub.stream(&format!("/stream?channel=a&ticket={}", ticket(KEY, &["a"], 3_600))).await;
    // One that is answered before hyper is set up, and one after that.
    hub.request("POST", "/publish", &[text, key], b"x").await;
    hub.request("POST", "/publish?channel=secret", &[text, key, ("Connection", "close")], b"x").await;
    hub.request("POST", "/publish", &[text, ("Authorization", "Bearer wrong-secret")], b"x").await;
    hub.request("GET", "/stream?channel=a&ticket=wrong-secret", &[], b"").await;
    hub.get("/channels/a%0A%1Bb?_=secret").await;
    drop(stream);
    hub.until_metric("tidecast_streams", 0).await;
}

#[tokio::test]
async fn every_request_has_a_line_without_a_secret() {
    for switch in [&["--access-log"][..], &["--log", "tidecast::access=trace"]] {
        let hub = TIDECAST.serve(&[&["--publish-key", KEY, "--tickets", "--log-format", "json"], switch].concat());
        use_of(&hub).await;
        let ended = || lines(&hub).iter().any(|line| line["fields"]["message"] == "stream ended");
        eventually("the line of the stream's end", async || ended()).await;
        let said = lines(&hub);
        let of = |method: &str, path: &str| -> Vec<u64> {
            let fields = said.iter().map(|line| &line["fields"]);
            let those = fields.filter(|fields| fields["method"] == method && fields["path"] == path);
            those.map(|fields| fields["status"].as_u64().expect("a status")).collect()
        };
        assert_eq!(of("POST", "/publish"), [200, 200, 401], "{said:?}");
        assert_eq!(of("GET", "/stream"), [200, 401], "{said:?}");
        assert_eq!(of("GET", "/channels/a%0A%1Bb"), [400], "{said:?}");
        for line in &said {
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
async fn it_is_off_unless_it_is_asked_for() {
    for log in ["info", "debug"] {
        let hub = TIDECAST.serve(&["--publish-key", KEY, "--tickets", "--log-format", "json", "--log", log]);
        use_of(&hub).await;
        assert_eq!(lines(&hub), [Value::Null; 0], "{log}");
    }
}
