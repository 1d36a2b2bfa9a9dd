//! Parts that responses share.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header};
use tidecast_axum::Problem;

/// The `X-Content-Type-Options` of every response: no browser takes published data for a page or a script.
pub(crate) const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// The `Cache-Control` of responses that set none: they describe the present.
pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Returns a JSON response, which ends with a newline.
pub(crate) fn json_line(value: &serde_json::Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], format!("{value}\n")).into_response()
}

/// Returns a 405 that names the method to use instead.
pub(crate) fn method_not_allowed(method: &Method, allowed: &str) -> Response {
    let why = format!("{method} is not allowed here: send a {allowed}");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, why).into_response()
}
