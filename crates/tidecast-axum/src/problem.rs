//! Errors as problem documents (RFC 9457).

use std::{borrow::Cow, time::Duration};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

/// An error as a problem document (RFC 9457): JSON with the status and the cause. Its `type` is `about:blank`.
///
/// # Examples
///
/// ```
/// use http::StatusCode;
/// use tidecast_axum::Problem;
///
/// let problem = Problem::new(StatusCode::FORBIDDEN, "`analytics` is for admins");
/// assert_eq!(problem.status(), 403);
/// ```
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    detail: Cow<'static, str>,
    members: serde_json::Map<String, serde_json::Value>,
    retry_after: Option<Duration>,
}

/// The value of `Retry-After` while the broker is unavailable or the hub is closing: about the time in which either restarts.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Problem {
    /// Creates a problem with a status, and a sentence that names the cause and the remedy.
    pub fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, detail: detail.into(), members: serde_json::Map::new(), retry_after: None }
    }

    /// Creates a problem with status 400.
    pub fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// Adds a member to the document, such as the index of an invalid entry.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// Sets `Retry-After`, in seconds, rounded up.
    #[must_use]
    pub fn retry_after(mut self, retry_after: Duration) -> Self {
        self.retry_after = Some(retry_after);
        self
    }

    /// Returns the status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the sentence.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl From<tidecast::Error> for Problem {
    fn from(error: tidecast::Error) -> Self {
        let status = if error.is_invalid() {
            StatusCode::BAD_REQUEST
        } else if error.is_too_large() {
            StatusCode::PAYLOAD_TOO_LARGE
        } else if error.is_unavailable() || error.is_closed() {
            return Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()).retry_after(RETRY_AFTER);
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        };
        Self::new(status, error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut document = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(document) = document.as_object_mut() {
            document.extend(self.members);
        }
        let head = [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        ];
        let mut response = (self.status, head, format!("{document}\n")).into_response();
        if let Some(retry_after) = self.retry_after {
            let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
