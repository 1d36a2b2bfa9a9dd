//! The same for machines.

use serde_json::{Map, Value, json};

use super::{Answer, judge::judge};

/// Each case by its name: each server by its name: each figure by its name. And the bars.
pub(crate) fn json(answers: &[Answer]) -> String {
    let cases: Map<_, _> = answers
        .iter()
        .map(|answer| {
            let servers = answer.servers.iter().map(|(kind, figures)| {
                let figures = figures.iter().map(|(metric, value)| (metric.name().to_owned(), Value::from(value)));
                (kind.name().to_owned(), Value::Object(figures.collect()))
            });
            (answer.case.name.to_owned(), Value::Object(servers.collect()))
        })
        .collect();
    let bars: Vec<_> = judge(answers)
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
    use crate::{report::tests::answer, servers::Kind};

    #[test]
    fn figures_are_found_by_their_names() {
        let text = json(&[answer("publish-1", &[(Kind::Tidecast, 5.0)])]);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["cases"]["publish-1"]["tidecast"]["publishes/s"], 5.0);
    }
}
