//! Responses that are not a success: a problem document (RFC 9457) of the hub, or a response of a proxy in front of it.

use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use super::connection::HubResponse;
use crate::cmd::style::sanitize;

/// Maximum length of a proxy's text that is shown, in characters.
const SHOWN_MAX: usize = 300;

/// A response that is not a success.
#[derive(Debug)]
pub(crate) struct HubProblem {
    pub(crate) status: StatusCode,
    /// The problem document, if the response has one; then it is the hub's.
    document: Option<Value>,
    text: String,
}

impl HubProblem {
    pub(crate) fn from_response(answer: &HubResponse) -> Self {
        let status = answer.head.status;
        let document = is_document(&answer.head.headers).then(|| serde_json::from_slice(&answer.body).ok()).flatten();
        Self { status, document, text: String::from_utf8_lossy(&answer.body).into_owned() }
    }

    /// Returns whether the hub responded, and not a proxy in front of it.
    pub(crate) fn is_from_hub(&self) -> bool {
        self.document.is_some()
    }

    pub(crate) fn member(&self, name: &str) -> Option<&Value> {
        self.document.as_ref()?.get(name)
    }

    /// Describes what is wrong and what may help.
    pub(crate) fn advice(&self) -> String {
        let what = self.to_string();
        match self.status {
            StatusCode::UNAUTHORIZED => format!("{what}; give the hub's key by TIDECAST_PUBLISH_KEY or --publish-key"),
            StatusCode::NOT_FOUND if !self.is_from_hub() => format!("{what}; is a hub at this address?"),
            _ => what,
        }
    }
}

impl std::fmt::Display for HubProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let status = self.status.as_u16();
        match self.member("detail").and_then(Value::as_str) {
            Some(detail) => write!(f, "{} ({status})", sanitize(detail)),
            None => {
                let text: String = self.text.trim().chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect();
                let text = sanitize(&text);
                let reason = self.status.canonical_reason().unwrap_or("no reason given");
                write!(f, "answered {status} {reason}{}{text}", if text.is_empty() { "" } else { ": " })
            }
        }
    }
}

fn is_document(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/problem+json"))
}
