//! Interprets the response to a batch for each of its entries.

use http::StatusCode;
use serde_json::Value;
use tidecast::Position;

use crate::cmd::client::{connection::HubResponse, problem::HubProblem};

/// The outcome of a batch.
#[derive(Debug)]
pub(super) enum BatchOutcome {
    /// All entries were published, at these positions.
    Published(Vec<PublishedAt>),
    /// One entry is not an event, so none was published.
    Rejected { index: usize, why: String },
    /// The request is too large for the hub or a proxy.
    TooLarge(String),
    /// The first entries were published, and the rest can be sent again. If `in_doubt`, the first of the rest may have been
    /// published too.
    Retry { published: Vec<PublishedAt>, in_doubt: bool, why: String },
    /// A proxy failed, so that the entries may have been published.
    InDoubt(String),
    /// An error that a repetition does not change.
    Fatal(String),
}

/// The position of a published event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PublishedAt {
    pub(super) channel: String,
    pub(super) position: Position,
}

impl BatchOutcome {
    /// Interprets the response to a batch of `entries` entries.
    pub(super) fn from_response(answer: &HubResponse, entries: usize) -> Self {
        if answer.head.status == StatusCode::OK {
            return match serde_json::from_slice(&answer.body).ok().and_then(|answers| positions(&answers)) {
                Some(places) if places.len() == entries => Self::Published(places),
                _ => Self::Fatal("the response is not that of a Tidecast hub; is the address right?".to_owned()),
            };
        }
        let problem = HubProblem::from_response(answer);
        let index = problem.member("index").and_then(Value::as_u64).and_then(|index| usize::try_from(index).ok());
        match (problem.status, index) {
            (StatusCode::SERVICE_UNAVAILABLE, _) if problem.is_from_hub() => {
                let published =
                    problem.member("published").and_then(positions).filter(|places| places.len() <= entries);
                let in_doubt = problem.member("in_doubt") == Some(&Value::Bool(true));
                Self::Retry { published: published.unwrap_or_default(), in_doubt, why: problem.to_string() }
            }
            // The hub had not read the whole body.
            (StatusCode::REQUEST_TIMEOUT, _) if problem.is_from_hub() => {
                Self::Retry { published: Vec::new(), in_doubt: false, why: problem.to_string() }
            }
            (StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS, _) => Self::InDoubt(problem.to_string()),
            (status, Some(index)) if status.is_client_error() && index < entries => {
                Self::Rejected { index, why: without_index(&problem.to_string(), index) }
            }
            (StatusCode::PAYLOAD_TOO_LARGE, _) => Self::TooLarge(problem.to_string()),
            (status, _) if status.is_server_error() => Self::InDoubt(problem.to_string()),
            _ => Self::Fatal(problem.advice()),
        }
    }
}

/// Removes the index within the batch, which means nothing to the author of the lines.
fn without_index(detail: &str, index: usize) -> String {
    detail.strip_prefix(&format!("entry {index}: ")).unwrap_or(detail).to_owned()
}

fn positions(answers: &Value) -> Option<Vec<PublishedAt>> {
    let answers = answers.as_array()?.iter();
    answers
        .map(|answer| {
            let channel = answer.get("channel")?.as_str()?.to_owned();
            Some(PublishedAt { channel, position: answer.get("position")?.as_str()?.parse().ok()? })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: u16, content_type: &str, body: &str) -> BatchOutcome {
        let response = http::Response::builder().status(status).header("content-type", content_type).body(()).unwrap();
        let answer = HubResponse { head: response.into_parts().0, body: body.to_owned().into() };
        BatchOutcome::from_response(&answer, 2)
    }

    #[test]
    fn each_response_has_its_outcome() {
        const HUB: &str = "application/problem+json";
        let place = r#"{"channel": "a", "position": "00c0ffee1234.1"}"#;
        let json = "application/json";
        assert!(
            matches!(outcome(200, json, &format!("[{place},{place}]")), BatchOutcome::Published(places) if places.len() == 2)
        );
        assert!(matches!(outcome(200, json, &format!("[{place}]")), BatchOutcome::Fatal(_)));
        assert!(matches!(outcome(200, "text/html", "<html>"), BatchOutcome::Fatal(_)));
        let partly = format!(r#"{{"detail": "closed", "index": 1, "published": [{place}]}}"#);
        let later = |body: &str| match outcome(503, HUB, body) {
            BatchOutcome::Retry { published, in_doubt, .. } => (published.len(), in_doubt),
            other => panic!("{other:?}"),
        };
        assert_eq!(later(&partly), (1, false));
        assert_eq!(later(r#"{"index": 0, "published": []}"#), (0, false));
        assert_eq!(later(r#"{"index": 0, "published": [], "in_doubt": true}"#), (0, true));
        assert!(matches!(outcome(503, "text/html", "no upstream"), BatchOutcome::InDoubt(_)));
        assert!(matches!(outcome(502, "text/html", ""), BatchOutcome::InDoubt(_)));
        let rejected = outcome(400, HUB, r#"{"detail": "entry 1: `data` is missing", "index": 1}"#);
        assert!(matches!(rejected, BatchOutcome::Rejected { index: 1, why } if why == "`data` is missing (400)"));
        assert!(matches!(outcome(413, "text/html", ""), BatchOutcome::TooLarge(_)));
        assert!(
            matches!(outcome(401, HUB, r#"{"detail": "no"}"#), BatchOutcome::Fatal(why) if why.contains("TIDECAST_PUBLISH_KEY"))
        );
    }
}
