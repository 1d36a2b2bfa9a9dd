//! `docs/metrics.md`, written from the declarations.

use tidecast::broker::{Metric, MetricValue};

use super::{
    Scrape,
    declared::{full_name, hub_metrics},
};
use crate::config::BrokerConfig;

/// Returns the page.
pub(crate) fn page() -> String {
    let hub = hub_metrics(&Scrape::default());
    let brokers = BrokerConfig::declared_metrics();
    let mut page = String::from(
        "# Metrics\n\n\
         <!-- Written by `cargo xtask docs` from the declarations in the program. Change those instead. -->\n\n\
         `GET /metrics` responds in the OpenMetrics format, which Prometheus reads. If the hub has a publish key, the \
         request needs it as `Authorization: Bearer KEY`. No label has the name of a channel, so clients cannot add \
         series. Counters begin at 0 when the hub starts.\n\n\
         ## Of every hub\n\n",
    );
    page += &table(&hub);
    for (broker, metrics) in &brokers {
        page += &format!("\n## Of a hub on {broker}\n\n");
        page += &table(metrics);
    }
    page += "\n## Alerts\n\n\
             The expressions are PromQL, and suit most hubs. Adapt the windows to how soon you want an alert.\n\n\
             | alert if | meaning |\n|---|---|\n";
    page += &alerts(&hub);
    for (_, metrics) in &brokers {
        page += &alerts(metrics);
    }
    page
}

fn table(metrics: &[Metric]) -> String {
    let mut table = String::from("| metric | type | unit | label | meaning |\n|---|---|---|---|---|\n");
    for metric in metrics {
        let unit = metric.unit.unwrap_or_default();
        let (kind, label) = match &metric.value {
            MetricValue::Counter(_) => ("counter", String::new()),
            MetricValue::Gauge(_) => ("gauge", String::new()),
            MetricValue::LabeledCounter { label, counts } => {
                let values: Vec<_> = counts.iter().map(|(value, _)| format!("`{value}`")).collect();
                ("counter", format!("`{label}`: {}", values.join(", ")))
            }
        };
        table += &format!("| `{}` | {kind} | {unit} | {label} | {} |\n", full_name(metric), metric.help);
    }
    table
}

fn alerts(metrics: &[Metric]) -> String {
    let alerts = metrics.iter().filter_map(|metric| metric.alert.as_ref());
    // A bar ends a cell of a table, even between backticks.
    alerts.map(|alert| format!("| `{}` | {} |\n", alert.expression.replace('|', "\\|"), alert.meaning)).collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;
    use crate::observe::metrics::render;

    fn all() -> Vec<Metric> {
        let mut all = hub_metrics(&Scrape::default());
        all.extend(BrokerConfig::declared_metrics().into_iter().flat_map(|(_, metrics)| metrics));
        all
    }

    #[test]
    fn the_page_in_the_repository_matches_the_declarations() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(kept == page(), "docs/metrics.md is out of date: run `cargo xtask docs`");
    }

    #[test]
    fn an_alert_refers_to_its_own_metric() {
        for metric in all() {
            let Some(alert) = metric.alert else { continue };
            assert!(alert.expression.contains(&full_name(&metric)), "{}: {}", metric.name, alert.expression);
        }
    }

    /// Prometheus refuses a scrape in which a name occurs twice.
    #[test]
    fn no_two_metrics_share_a_name_and_every_name_is_scraped() {
        let declared: Vec<String> = all().iter().map(full_name).collect();
        let distinct: BTreeSet<&str> = declared.iter().map(String::as_str).collect();
        assert_eq!(distinct.len(), declared.len());
        let brokers = BrokerConfig::declared_metrics().into_iter().flat_map(|(_, metrics)| metrics);
        let text = render(&Scrape::default(), brokers.collect()).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let scraped: BTreeSet<&str> = lines.filter_map(|line| line.split([' ', '{']).next()).collect();
        assert_eq!(scraped, distinct);
    }
}
