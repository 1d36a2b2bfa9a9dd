//! `docs/metrics.md`, written from the declarations.

use super::declared::{HUB, Metric, REDIS, Value};

/// Returns the page.
pub(crate) fn page() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         <!-- Written by `cargo xtask docs` from the declarations in the program. Change those instead. -->\n\n\
         `GET /metrics` answers in the OpenMetrics format, which Prometheus reads. If the hub has a publish key, the \
         request needs it as `Authorization: Bearer KEY`. No label has the name of a channel, so the number of series \
         does not grow with what clients ask for. Counters begin at 0 when the hub starts.\n\n\
         ## Of every hub\n\n",
    );
    page += &table(HUB);
    page += "\n## Of a hub on Redis\n\n";
    page += &table(REDIS);
    page += "\n## Alerts\n\n\
             The expressions are PromQL. They suit most hubs as they are; adapt the windows to how soon you want to \
             know.\n\n\
             | alert if | meaning |\n|---|---|\n";
    page += &alerts(HUB);
    page += &alerts(REDIS);
    page
}

fn table<S: Default>(metrics: &[Metric<S>]) -> String {
    let mut table = String::from("| metric | type | unit | label | meaning |\n|---|---|---|---|---|\n");
    for metric in metrics {
        let unit = metric.unit.map_or("", |unit| unit.of_the_exposition().as_str());
        let (kind, label) = match metric.value {
            Value::Counter(_) => ("counter", String::new()),
            Value::Gauge(_) => ("gauge", String::new()),
            Value::CounterBy(label, read) => {
                let values = read(&S::default()).into_iter().map(|(value, _)| format!("`{value}`"));
                ("counter", format!("`{label}`: {}", values.collect::<Vec<_>>().join(", ")))
            }
        };
        table += &format!("| `{}` | {kind} | {unit} | {label} | {} |\n", metric.full_name(), metric.help);
    }
    table
}

fn alerts<S>(metrics: &[Metric<S>]) -> String {
    let alerts = metrics.iter().filter_map(|metric| metric.alert.as_ref());
    // A bar ends a cell of a table, even between backticks.
    alerts.map(|alert| format!("| `{}` | {} |\n", alert.expression.replace('|', "\\|"), alert.meaning)).collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;
    use crate::observe::metrics::{Scrape, render};

    #[test]
    fn the_page_in_the_repository_is_what_the_declarations_say() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(kept == page(), "docs/metrics.md has drifted: run `cargo xtask docs`");
    }

    #[test]
    fn an_alert_is_on_the_metric_that_it_is_declared_with() {
        fn check<S>(metrics: &[Metric<S>]) {
            for metric in metrics {
                let Some(alert) = &metric.alert else { continue };
                assert!(alert.expression.contains(&metric.full_name()), "{}: {}", metric.name, alert.expression);
            }
        }
        check(HUB);
        check(REDIS);
    }

    /// A name written twice would make a scrape that Prometheus refuses as a whole.
    #[test]
    fn no_two_metrics_share_a_name_and_every_name_is_scraped() {
        fn names<S>(metrics: &[Metric<S>]) -> Vec<String> {
            metrics.iter().map(Metric::full_name).collect()
        }
        let declared = [names(HUB), names(REDIS)].concat();
        let distinct: BTreeSet<&str> = declared.iter().map(String::as_str).collect();
        assert_eq!(distinct.len(), declared.len());
        let text = render(Scrape::default(), Some(Default::default())).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let scraped: BTreeSet<&str> = lines.filter_map(|line| line.split([' ', '{']).next()).collect();
        assert_eq!(scraped, distinct);
    }
}
