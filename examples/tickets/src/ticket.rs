//! Signs tickets: JSON Web Tokens, by HS256 with a key that is derived from the hub's ticket key.
//!
//! docs/http.md, "Tickets", explains each part.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Value, json};

/// Returns a ticket that opens streams of these channels only, valid for `lifetime` from now.
pub(crate) fn ticket(ticket_key: &str, channels: &[&str], lifetime: Duration) -> String {
    let expires = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + lifetime;
    let key = sign(ticket_key.as_bytes(), b"tidecast ticket 1");
    let key_id: String = sign(&key, b"kid").iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let header = json!({ "alg": "HS256", "typ": "JWT", "kid": key_id });
    let claims = json!({ "use": "ticket", "subscribe": channels, "exp": expires.as_secs() });
    let signed = format!("{}.{}", encoded(&header), encoded(&claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(&key, signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn sign(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

fn encoded(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}
