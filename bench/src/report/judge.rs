//! The bars: what Tidecast must reach, what it has reached, and whether that suffices.

use super::{CaseResult, cell, line};
use crate::{
    figures::{Against, Bar, FAULTS, Figures, Metric},
    servers::Kind,
};

/// A bar of a case with its outcome.
#[derive(Debug)]
pub(super) struct JudgedBar {
    pub(super) case: &'static str,
    /// The configuration of Tidecast; `None` if none was measured.
    pub(super) server: Option<Kind>,
    /// The figure and what it must be, in words.
    pub(super) must: String,
    pub(super) figure: Option<f64>,
    pub(super) reference: Option<f64>,
    pub(super) met: bool,
}

/// Returns all bars of all cases, including that no event was lost, doubled, reordered or garbled. A bar without a
/// figure is missed.
pub(super) fn judge(results: &[CaseResult]) -> Vec<JudgedBar> {
    let mut all = Vec::new();
    for case_result in results {
        let mut own: Vec<_> = case_result.own().map(Some).collect();
        if own.is_empty() {
            own.push(None);
        }
        for own in own {
            all.extend(case_result.case.bars.iter().map(|bar| judged(case_result, own, *bar)));
            all.extend(case_result.case.delivers().then(|| without_fault(case_result, own)));
        }
    }
    all
}

pub(super) fn table(results: &[CaseResult]) -> String {
    let head = ["case", "must", "is", "ratio", "met"].map(str::to_owned);
    let mut out = line(&head) + &line(&["---"; 5].map(str::to_owned));
    for judged in judge(results) {
        let case = judged.name();
        let JudgedBar { must, figure, reference, met, .. } = judged;
        let ratio = figure.zip(reference).map(|(figure, reference)| figure / reference);
        let met = if met { "met" } else { "**missed**" };
        out += &line(&[case, must, cell(figure), cell(ratio), met.to_owned()]);
    }
    out
}

impl JudgedBar {
    /// Returns the case, and the server unless it is the hub.
    fn name(&self) -> String {
        match self.server {
            None | Some(Kind::Tidecast) => self.case.to_owned(),
            Some(other) => format!("{}, {}", self.case, other.name()),
        }
    }
}

fn judged(case_result: &CaseResult, own: Option<(Kind, &Figures)>, bar: Bar) -> JudgedBar {
    let own_figure = |metric| own.and_then(|(_, figures)| figures.of(metric));
    let figure = own_figure(bar.metric);
    let reference = match bar.against {
        Against::Number => Some(1.0),
        Against::Bare => case_result.best(bar.metric, Kind::is_bare),
        Against::One(one) => case_result.best(bar.metric, |kind| kind == one),
        Against::Nchan => case_result.best(bar.metric, Kind::is_nchan),
        Against::BestPeer => case_result.best(bar.metric, Kind::is_peer),
        Against::Own(metric) => own_figure(metric),
    };
    let sign = if bar.metric.more_is_better() { '≥' } else { '≤' };
    let against = match bar.against {
        Against::Number => String::new(),
        Against::Bare => " × bare".to_owned(),
        Against::One(one) => format!(" × {}", one.name()),
        Against::Nchan => " × nchan".to_owned(),
        Against::BestPeer => " × best peer".to_owned(),
        Against::Own(metric) => format!(" × {}", metric.name()),
    };
    let must = format!("{} {sign} {}{against}", bar.metric.name(), bar.factor);
    let shown = reference.filter(|_| bar.against != Against::Number);
    let (server, met) = (own.map(|(kind, _)| kind), bar.is_met(figure, reference));
    JudgedBar { case: case_result.case.name, server, must, figure, reference: shown, met }
}

fn without_fault(case_result: &CaseResult, own: Option<(Kind, &Figures)>) -> JudgedBar {
    let of = |own: &Figures| FAULTS.iter().map(|fault| own.of(*fault)).sum::<Option<f64>>();
    let figure = own.and_then(|(_, figures)| of(figures));
    let must = format!("{} = 0", FAULTS.map(Metric::name).join(", "));
    let server = own.map(|(kind, _)| kind);
    JudgedBar { case: case_result.case.name, server, must, figure, reference: None, met: figure == Some(0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::case_result;

    #[test]
    fn each_bar_is_judged_separately() {
        let rates = [(Kind::Tidecast, 3e6), (Kind::BareEach, 9e6), (Kind::BareCoalescing, 3.2e6), (Kind::Axum, 1.5e6)];
        let judged = judge(&[case_result("closed-1000", &rates)]);
        let met: Vec<_> = judged.iter().map(|judged| judged.met).collect();
        // Enough compared with the coalescing writer, too little compared with the best peer; the faults were not
        // measured.
        assert_eq!(met, [true, false, false]);
    }

    #[test]
    fn each_configuration_of_tidecast_is_judged() {
        let judged = judge(&[case_result("flask-closed-500", &[(Kind::FlaskSse, 3.0), (Kind::FlaskTidecast, 4.0)])]);
        let names: Vec<_> = judged.iter().map(JudgedBar::name).collect();
        assert_eq!(names, ["flask-closed-500, flask-tidecast"; 2]);
        assert!(judged[0].met);
    }

    #[test]
    fn a_bar_without_a_figure_is_missed() {
        let judged = judge(&[case_result("closed-100", &[(Kind::Axum, 4.0)])]);
        assert!(!judged.is_empty() && judged.iter().all(|judged| !judged.met));
    }

    #[test]
    fn a_bar_without_a_reference_is_missed() {
        assert!(judge(&[case_result("closed-100", &[(Kind::Tidecast, 1e9)])]).iter().all(|judged| !judged.met));
    }
}
