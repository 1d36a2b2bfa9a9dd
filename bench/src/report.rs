//! What came out, as tables for people or as JSON; the bars, each met or missed; and the page that has the figures.

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

/// A case, and what each server brought: medians over the rounds.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) case: &'static Case,
    pub(crate) servers: Vec<(Kind, Figures)>,
}

impl Answer {
    /// What Tidecast brought, in each way that it was run.
    fn own(&self) -> impl Iterator<Item = (Kind, &Figures)> {
        self.servers.iter().filter(|(kind, _)| kind.is_own()).map(|(kind, figures)| (*kind, figures))
    }

    /// The best figure of those servers.
    fn best(&self, metric: Metric, among: impl Fn(Kind) -> bool) -> Option<f64> {
        let figures =
            self.servers.iter().filter(|(kind, _)| among(*kind)).filter_map(|(_, figures)| figures.of(metric));
        if metric.more_is_better() { figures.reduce(f64::max) } else { figures.reduce(f64::min) }
    }
}

/// A table of the bars. They are for whole runs: short ones say nothing about them.
pub(crate) fn bars(answers: &[Answer]) -> String {
    format!("### Bars\n\n{}", judge::table(answers))
}

/// A table for each case.
pub(crate) fn markdown(answers: &[Answer]) -> String {
    let mut out = String::new();
    for answer in answers {
        out += &format!("### {}\n\n", answer.case.title);
        out += &table(answer);
        out.push('\n');
    }
    out
}

/// A column for each figure, then the ratios of the main one.
fn table(answer: &Answer) -> String {
    let main = answer.case.main;
    let mut columns: Vec<Metric> = Vec::new();
    for (metric, _) in answer.servers.iter().flat_map(|(_, figures)| figures.iter()) {
        if !columns.contains(&metric) && !metric.is_fault() {
            columns.push(metric);
        }
    }
    let faults = answer.servers.iter().any(|(_, figures)| figures.of(Metric::Lost).is_some());
    let bare = answer.best(main, Kind::is_bare);
    let peer = answer.best(main, Kind::is_peer);
    let mut head = vec!["server".to_owned()];
    head.extend(columns.iter().map(|metric| metric.name().to_owned()));
    head.extend(faults.then(|| FAULTS.map(Metric::name).join(", ")));
    head.extend(bare.map(|_| format!("{} : bare", main.name())));
    head.extend(peer.map(|_| format!("{} : best peer", main.name())));
    let mut out = line(&head) + &line(&vec!["---".to_owned(); head.len()]);
    for (kind, figures) in &answer.servers {
        let mut cells = vec![kind.name().to_owned()];
        cells.extend(columns.iter().map(|metric| cell(figures.of(*metric))));
        if faults {
            cells.push(FAULTS.map(|fault| cell(figures.of(fault))).join(", "));
        }
        for reference in [bare, peer].into_iter().flatten() {
            cells.push(cell(figures.of(main).map(|figure| figure / reference)));
        }
        out += &line(&cells);
    }
    out
}

fn line(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// Three digits that say something, and thousands apart.
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

    /// A case with a rate of each server.
    pub(crate) fn answer(name: &str, rates: &[(Kind, f64)]) -> Answer {
        let case = cases::ALL.iter().find(|case| case.name == name).unwrap();
        let figures = |rate| {
            let mut figures = Figures::default();
            figures.put(case.main, rate);
            figures
        };
        Answer { case, servers: rates.iter().map(|&(kind, rate)| (kind, figures(rate))).collect() }
    }

    #[test]
    fn ratios_are_to_the_better_bare_and_the_best_peer() {
        let rates = [(Kind::Tidecast, 3e6), (Kind::BareEach, 5e5), (Kind::BareCoalescing, 4e6), (Kind::Axum, 1e6)];
        let table = table(&answer("closed-1000", &rates));
        assert!(table.contains("| tidecast | 3,000,000 | 0.750 | 3.00 |"), "{table}");
        assert!(table.contains("| axum-by-hand | 1,000,000 | 0.250 | 1.00 |"), "{table}");
    }

    #[test]
    fn of_costs_the_least_is_the_best() {
        let costs = [(Kind::Tidecast, 2.0), (Kind::Nchan1, 4.0), (Kind::Nchan2, 5.0)];
        assert!(table(&answer("paced-1000", &costs)).contains("| tidecast | 2.00 | 0.500 |"));
    }

    #[test]
    fn figures_are_written_with_what_says_something() {
        let cells = [0.0, 0.1234, 1.234, 12.34, 123.4, 1_234_567.8].map(|value| cell(Some(value)));
        assert_eq!(cells, ["0", "0.123", "1.23", "12.3", "123", "1,234,568"]);
        assert_eq!(cell(None), "–");
    }
}
