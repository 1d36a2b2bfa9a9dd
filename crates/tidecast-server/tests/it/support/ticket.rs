//! Tickets as an application signs them: from the documentation, not with the hub's code.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ring::hmac::{HMAC_SHA256, Key, sign};
use serde_json::{Value, json};

/// Returns a ticket for channels that expires after this many seconds. A negative number gives an expired ticket.
pub(crate) fn sign_ticket(publish_key: &str, channels: &[&str], seconds: i64) -> String {
    sign_claims(publish_key, &json!({"use": "ticket", "subscribe": channels, "exp": unix_time() + seconds}))
}

/// Returns a signed token with these claims.
pub(crate) fn sign_claims(publish_key: &str, claims: &Value) -> String {
    let hmac = |key: &[u8], text: &[u8]| sign(&Key::new(HMAC_SHA256, key), text);
    let key = hmac(publish_key.as_bytes(), b"tidecast ticket 1");
    let named: String = hmac(key.as_ref(), b"kid").as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": named[..16]});
    let signed = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
    let signature = BASE64.encode(hmac(key.as_ref(), signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// Returns the seconds since 1970.
pub(crate) fn unix_time() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_secs()).expect("a time of this age")
}
