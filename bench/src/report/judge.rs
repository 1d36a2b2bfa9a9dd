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
    /// The figure and what it must be, in words.
    pub(super) must: String,
    pub(super) figure: Option<f64>,
    pub(super) reference: Option<f64>,
    pub(super) met: bool,
}

/// All bars of all cases, and that nothing was lost, doubled, reordered or garbled. What was not measured is not met.
pub(super) fn judge(answers: &[Answer]) -> Vec<Judged> {
    let of_answer = |answer: &Answer| {
        let bars = answer.case.bars.iter().map(|bar| judged(answer, *bar));
        bars.chain(answer.case.delivers().then(|| without_fault(answer))).collect::<Vec<_>>()
    };
    answers.iter().flat_map(of_answer).collect()
}

pub(super) fn table(answers: &[Answer]) -> String {
    let head = ["case", "must", "is", "ratio", "met"].map(str::to_owned);
    let mut out = line(&head) + &line(&["---"; 5].map(str::to_owned));
    for Judged { case, must, figure, reference, met } in judge(answers) {
        let ratio = figure.zip(reference).map(|(figure, reference)| figure / reference);
        let met = if met { "met" } else { "**missed**" };
        out += &line(&[case.to_owned(), must, cell(figure), cell(ratio), met.to_owned()]);
    }
    out
}

fn judged(answer: &Answer, bar: Bar) -> Judged {
    let figure = answer.own().and_then(|own| own.of(bar.metric));
    let reference = match bar.against {
        Against::Number => Some(1.0),
        Against::Bare => answer.best(bar.metric, Kind::is_bare),
        Against::BareCoalescing => answer.best(bar.metric, |kind| kind == Kind::BareCoalescing),
        Against::BestPeer => answer.best(bar.metric, Kind::is_peer),
        Against::Own(metric) => answer.own().and_then(|own| own.of(metric)),
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
    Judged { case: answer.case.name, must, figure, reference: shown, met: bar.is_met(figure, reference) }
}

fn without_fault(answer: &Answer) -> Judged {
    let of = |own: &Figures| FAULTS.iter().map(|fault| own.of(*fault)).sum::<Option<f64>>();
    let figure = answer.own().and_then(of);
    let must = format!("{} = 0", FAULTS.map(Metric::name).join(", "));
    Judged { case: answer.case.name, must, figure, reference: None, met: figure == Some(0.0) }
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
    fn nothing_is_met_without_something_to_compare_with() {
        assert!(judge(&[answer("closed-100", &[(Kind::Tidecast, 1e9)])]).iter().all(|judged| !judged.met));
    }
}
