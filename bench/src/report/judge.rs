//! The bars: what Tidecast must reach, what it has reached, and whether that is enough.

use super::{Answer, cell, line};
use crate::{
    figures::{Against, Bar, FAULTS, Figures, Metric},
    servers::Kind,
};

/// A bar of a case, held against what came out.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) case: &'static str,
    /// Which of ours it is of; none if none was measured.
    pub(super) server: Option<Kind>,
    /// The figure and what it must be, in words.
    pub(super) must: String,
    pub(super) figure: Option<f64>,
    pub(super) reference: Option<f64>,
    pub(super) met: bool,
}

/// All bars of all cases, and that nothing was lost, doubled, reordered or garbled. What was not measured is not met.
pub(super) fn judge(answers: &[Answer]) -> Vec<Judged> {
    let mut all = Vec::new();
    for answer in answers {
        let mut own: Vec<_> = answer.own().map(Some).collect();
        if own.is_empty() {
            own.push(None);
        }
        for own in own {
            all.extend(answer.case.bars.iter().map(|bar| judged(answer, own, *bar)));
            all.extend(answer.case.delivers().then(|| without_fault(answer, own)));
        }
    }
    all
}

pub(super) fn table(answers: &[Answer]) -> String {
    let head = ["case", "must", "is", "ratio", "met"].map(str::to_owned);
    let mut out = line(&head) + &line(&["---"; 5].map(str::to_owned));
    for judged in judge(answers) {
        let case = judged.name();
        let Judged { must, figure, reference, met, .. } = judged;
        let ratio = figure.zip(reference).map(|(figure, reference)| figure / reference);
        let met = if met { "met" } else { "**missed**" };
        out += &line(&[case, must, cell(figure), cell(ratio), met.to_owned()]);
    }
    out
}

impl Judged {
    /// The case, and the server too where it is not the hub.
    fn name(&self) -> String {
        match self.server {
            None | Some(Kind::Tidecast) => self.case.to_owned(),
            Some(other) => format!("{}, {}", self.case, other.name()),
        }
    }
}

fn judged(answer: &Answer, own: Option<(Kind, &Figures)>, bar: Bar) -> Judged {
    let own_figure = |metric| own.and_then(|(_, figures)| figures.of(metric));
    let figure = own_figure(bar.metric);
    let reference = match bar.against {
        Against::Number => Some(1.0),
        Against::Bare => answer.best(bar.metric, Kind::is_bare),
        Against::BareCoalescing => answer.best(bar.metric, |kind| kind == Kind::BareCoalescing),
        Against::BestPeer => answer.best(bar.metric, Kind::is_peer),
        Against::Own(metric) => own_figure(metric),
    };
    let sign = if bar.metric.more_is_better() { '≥' } else { '≤' };
    let against = match bar.against {
        Against::Number => String::new(),
        Against::Bare => " × bare".to_owned(),
        Against::BareCoalescing => " × bare-coalescing".to_owned(),
        Against::BestPeer => " × best peer".to_owned(),
        Against::Own(metric) => format!(" × {}", metric.name()),
    };
    let must = format!("{} {sign} {}{against}", bar.metric.name(), bar.factor);
    let shown = reference.filter(|_| bar.against != Against::Number);
    let (server, met) = (own.map(|(kind, _)| kind), bar.is_met(figure, reference));
    Judged { case: answer.case.name, server, must, figure, reference: shown, met }
}

fn without_fault(answer: &Answer, own: Option<(Kind, &Figures)>) -> Judged {
    let of = |own: &Figures| FAULTS.iter().map(|fault| own.of(*fault)).sum::<Option<f64>>();
    let figure = own.and_then(|(_, figures)| of(figures));
    let must = format!("{} = 0", FAULTS.map(Metric::name).join(", "));
    let server = own.map(|(kind, _)| kind);
    Judged { case: answer.case.name, server, must, figure, reference: None, met: figure == Some(0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::answer;

    #[test]
    fn each_bar_is_met_or_missed_by_itself() {
        let rates = [(Kind::Tidecast, 3e6), (Kind::BareEach, 9e6), (Kind::BareCoalescing, 3.2e6), (Kind::Axum, 1.5e6)];
        let judged = judge(&[answer("closed-1000", &rates)]);
        let met: Vec<_> = judged.iter().map(|judged| judged.met).collect();
        // Of the coalescing writer enough, of the best peer too little; the faults were not measured, so are not met.
        assert_eq!(met, [true, false, false]);
    }

    #[test]
    fn each_of_ours_is_judged() {
        let judged = judge(&[answer("flask-closed-500", &[(Kind::FlaskSse, 3.0), (Kind::FlaskTidecast, 4.0)])]);
        let names: Vec<_> = judged.iter().map(Judged::name).collect();
        assert_eq!(names, ["flask-closed-500, flask-tidecast"; 2]);
        assert!(judged[0].met);
    }

    #[test]
    fn what_was_not_measured_is_not_met() {
        let judged = judge(&[answer("closed-100", &[(Kind::Axum, 4.0)])]);
        assert!(!judged.is_empty() && judged.iter().all(|judged| !judged.met));
    }

    #[test]
    fn nothing_is_met_without_something_to_compare_with() {
        assert!(judge(&[answer("closed-100", &[(Kind::Tidecast, 1e9)])]).iter().all(|judged| !judged.met));
    }
}
