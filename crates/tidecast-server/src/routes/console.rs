//! The page at `/`: watch a channel, publish to it.

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, header};

/// Nothing from elsewhere, nothing inline, and nobody may frame it: a page that can publish must not be clicked by
/// accident.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) async fn page() -> Response {
    file("text/html; charset=utf-8", include_str!("../ui/index.html"))
}

pub(super) async fn script() -> Response {
    file("text/javascript; charset=utf-8", include_str!("../ui/console.js"))
}

pub(super) async fn style() -> Response {
    file("text/css; charset=utf-8", include_str!("../ui/console.css"))
}

fn file(content_type: &'static str, text: &'static str) -> Response {
    let head: [(HeaderName, HeaderValue); 5] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        // So that a newer hub's page is not mixed with an older one's script.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (head, text).into_response()
}
