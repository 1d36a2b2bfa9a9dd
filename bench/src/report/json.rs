//! The results as JSON.

use serde_json::{Map, Value, json};

use super::{CaseResult, judge::judge};

/// Returns the figures by case, server and name, and the bars.
pub(crate) fn json(results: &[CaseResult]) -> String {
    let cases: Map<_, _> = results
        .iter()
        .map(|case_result| {
            let servers = case_result.servers.iter().map(|(kind, figures)| {
                let figures = figures.iter().map(|(metric, value)| (metric.name().to_owned(), Value::from(value)));
                (kind.name().to_owned(), Value::Object(figures.collect()))
            });
            (case_result.case.name.to_owned(), Value::Object(servers.collect()))
        })
        .collect();
    let bars: Vec<_> = judge(results)
        .into_iter()
        .map(|bar| {
            let server = bar.server.map(|server| server.name());
            json!({"case": bar.case, "server": server, "must": bar.must, "is": bar.figure, "reference": bar.reference, "met": bar.met})
        })
        .collect();
    format!("{:#}\n", json!({"cases": cases, "bars": bars}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{report::tests::case_result, servers::Kind};

    #[test]
    fn figures_are_found_by_their_names() {
        let text = json(&[case_result("publish-1", &[(Kind::Tidecast, 5.0)])]);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["cases"]["publish-1"]["tidecast"]["publishes/s"], 5.0);
    }
}
