//! The results as tables or JSON, the bars, and the pages with the figures.

mod chart;
mod json;
mod judge;
mod page;
mod plot;

use crate::{
    cases::Case,
    figures::{FAULTS, Figures, Metric},
    servers::Kind,
};

pub(crate) use self::{json::json, page::write as write_pages};

/// The width of the page's image, which has two panels side by side.
const WIDTH: usize = 960;
const PANEL_WIDTH: usize = WIDTH / 2;

/// A case with the medians of each server.
#[derive(Debug)]
pub(crate) struct CaseResult {
    pub(crate) case: &'static Case,
    pub(crate) servers: Vec<(Kind, Figures)>,
    /// The servers that are not on this machine, with the remedy.
    pub(crate) missing: Vec<(Kind, &'static str)>,
}

impl CaseResult {
    /// Returns the figures of Tidecast in each configuration that is held against the bars.
    fn own(&self) -> impl Iterator<Item = (Kind, &Figures)> {
        self.servers.iter().filter(|(kind, _)| kind.is_own() && !kind.is_live()).map(|(kind, figures)| (*kind, figures))
    }

    /// Returns the best figure of some servers.
    fn best(&self, metric: Metric, among: impl Fn(Kind) -> bool) -> Option<f64> {
        let figures =
            self.servers.iter().filter(|(kind, _)| among(*kind)).filter_map(|(_, figures)| figures.of(metric));
        if metric.more_is_better() { figures.reduce(f64::max) } else { figures.reduce(f64::min) }
    }
}

/// Returns the table of the bars, which apply to full runs only.
pub(crate) fn bars(results: &[CaseResult]) -> String {
    format!("### Bars\n\n{}", judge::table(results))
}

/// Returns a table for each case.
pub(crate) fn markdown(results: &[CaseResult]) -> String {
    let mut out = String::new();
    for case_result in results {
        out += &format!("### {}\n\n", case_result.case.title);
        out += &table(case_result);
        out.push('\n');
    }
    out
}

/// Returns a table with a column for each figure, and the ratios of the main one.
fn table(case_result: &CaseResult) -> String {
    let main = case_result.case.main;
    let mut columns: Vec<Metric> = Vec::new();
    for (metric, _) in case_result.servers.iter().flat_map(|(_, figures)| figures.iter()) {
        if !columns.contains(&metric) && !metric.is_fault() {
            columns.push(metric);
        }
    }
    let faults = case_result.servers.iter().any(|(_, figures)| figures.of(Metric::Lost).is_some());
    let bare = case_result.best(main, Kind::is_bare);
    let peer = case_result.best(main, Kind::is_peer);
    let mut head = vec!["server".to_owned()];
    head.extend(columns.iter().map(|metric| metric.name().to_owned()));
    head.extend(faults.then(|| FAULTS.map(Metric::name).join(", ")));
    head.extend(bare.map(|_| format!("{} : bare", main.name())));
    head.extend(peer.map(|_| format!("{} : best peer", main.name())));
    let mut out = line(&head) + &line(&vec!["---".to_owned(); head.len()]);
    for (kind, figures) in &case_result.servers {
        let mut cells = vec![kind.name().to_owned()];
        cells.extend(columns.iter().map(|metric| cell(figures.of(*metric))));
        if figures.of(main).is_none() {
            cells[1] = "failed".to_owned();
        }
        if faults {
            cells.push(FAULTS.map(|fault| cell(figures.of(fault))).join(", "));
        }
        for reference in [bare, peer].into_iter().flatten() {
            cells.push(cell(figures.of(main).map(|figure| figure / reference)));
        }
        out += &line(&cells);
    }
    for (kind, remedy) in &case_result.missing {
        let mut cells = vec![kind.name().to_owned(), format!("missing: {remedy}")];
        cells.resize(head.len(), String::new());
        out += &line(&cells);
    }
    out
}

fn line(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// Returns a number with three significant digits and separated thousands.
fn cell(value: Option<f64>) -> String {
    let Some(value) = value.filter(|value| value.is_finite()) else { return "–".to_owned() };
    match value.abs() {
        0.0 => "0".to_owned(),
        below if below < 1.0 => format!("{value:.3}"),
        below if below < 10.0 => format!("{value:.2}"),
        below if below < 100.0 => format!("{value:.1}"),
        _ => thousands(value),
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let (sign, digits) = digits.split_at(usize::from(digits.starts_with('-')));
    let mut out = sign.to_owned();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases;

    /// Returns a case with a rate of each server.
    pub(crate) fn case_result(name: &str, rates: &[(Kind, f64)]) -> CaseResult {
        let case = cases::ALL.iter().find(|case| case.name == name).unwrap();
        let figures = |rate| {
            let mut figures = Figures::default();
            figures.put(case.main, rate);
            figures
        };
        CaseResult {
            case,
            servers: rates.iter().map(|&(kind, rate)| (kind, figures(rate))).collect(),
            missing: Vec::new(),
        }
    }

    #[test]
    fn ratios_are_to_the_better_bare_and_the_best_peer() {
        let rates = [(Kind::Tidecast, 3e6), (Kind::BareEach, 5e5), (Kind::BareCoalescing, 4e6), (Kind::Axum, 1e6)];
        let table = table(&case_result("closed-1000", &rates));
        assert!(table.contains("| tidecast | 3,000,000 | 0.750 | 3.00 |"), "{table}");
        assert!(table.contains("| axum-by-hand | 1,000,000 | 0.250 | 1.00 |"), "{table}");
    }

    #[test]
    fn the_lowest_cost_is_the_best() {
        let costs = [(Kind::Tidecast, 2.0), (Kind::Nchan1, 4.0), (Kind::Nchan2, 5.0)];
        assert!(table(&case_result("paced-1000", &costs)).contains("| tidecast | 2.00 | 0.500 |"));
    }

    #[test]
    fn figures_have_three_significant_digits() {
        let cells = [0.0, 0.1234, 1.234, 12.34, 123.4, 1_234_567.8].map(|value| cell(Some(value)));
        assert_eq!(cells, ["0", "0.123", "1.23", "12.3", "123", "1,234,568"]);
        assert_eq!(cell(None), "–");
    }
}
