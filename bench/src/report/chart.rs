//! Charts with a line for each server: what grows with the number of subscribers or channels, and the storm of connects
//! over time.

use std::fmt::Write;

use super::{CaseResult, PANEL_WIDTH, cell};
use crate::{figures::Metric, servers::Kind};

pub(super) const HEIGHT: usize = 300;

const TITLE: usize = 44;
const LEFT: usize = 50;
const LEGEND_WIDTH: usize = 130;
const BOTTOM: usize = 30;
const LINE_WIDTH: f64 = (PANEL_WIDTH - LEFT - LEGEND_WIDTH) as f64;
const LINE_HEIGHT: f64 = (HEIGHT - TITLE - BOTTOM) as f64;

/// The steps of a timeline, in seconds.
const STEP: f64 = 0.1;

/// The charts of growing numbers: how the names of the cases begin, before the number, and the title.
const GROWTH: [(&str, &str); 2] = [
    ("growth-readers-", "50,000 deliveries/s, by subscribers"),
    ("growth-channels-", "2,000 publishes/s, by channels"),
];

/// A chart.
#[derive(Debug)]
pub(super) struct Chart {
    title: String,
    unit: &'static str,
    scale: Scale,
    lines: Vec<(Kind, Vec<(f64, f64)>)>,
}

/// The scale from left to right. From bottom to top it is linear and begins at zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    Linear,
    Logarithmic,
}

/// Returns the charts of the measured cases.
pub(super) fn all(results: &[CaseResult]) -> Vec<Chart> {
    let growth = GROWTH.iter().filter_map(|(begin, title)| growth(results, begin, title));
    growth.chain(results.iter().filter_map(timeline)).collect()
}

fn growth(results: &[CaseResult], begin: &str, title: &str) -> Option<Chart> {
    let points: Vec<(f64, &CaseResult)> = results
        .iter()
        .filter_map(|result| Some((result.case.name.strip_prefix(begin)?.parse().ok()?, result)))
        .collect();
    let (_, first) = points.first()?;
    let line = |kind: Kind| {
        let figure = |result: &CaseResult| {
            let (_, figures) = result.servers.iter().find(|(other, _)| *other == kind)?;
            figures.of(Metric::Cpu)
        };
        (kind, points.iter().filter_map(|(number, result)| Some((*number, figure(result)?))).collect())
    };
    let lines = first.servers.iter().map(|(kind, _)| line(*kind)).collect();
    Some(Chart { title: title.to_owned(), unit: Metric::Cpu.name(), scale: Scale::Logarithmic, lines })
}

fn timeline(result: &CaseResult) -> Option<Chart> {
    let steps = result.servers.iter().map(|(_, figures)| figures.timeline.len()).max().filter(|&steps| steps > 0)?;
    let line = |live: &[f64]| {
        let ends = live.iter().enumerate().map(|(step, live)| ((step + 1) as f64 * STEP, *live));
        // All lines end together, where the last server has all its streams.
        let end = live.last().map(|live| (steps as f64 * STEP, *live));
        [(0.0, 0.0)].into_iter().chain(ends).chain(end).collect()
    };
    let lines = result.servers.iter().map(|(kind, figures)| (*kind, line(&figures.timeline))).collect();
    Some(Chart { title: result.case.title.to_owned(), unit: "live streams, by seconds", scale: Scale::Linear, lines })
}

impl Chart {
    /// Draws the chart with its corner here.
    pub(super) fn draw(&self, out: &mut String, left: usize, top: usize) {
        let points = || self.lines.iter().flat_map(|(_, points)| points);
        let right_most = points().map(|(x, _)| self.along(*x)).fold(f64::MIN_POSITIVE, f64::max);
        let left_most = points().map(|(x, _)| self.along(*x)).fold(right_most, f64::min);
        let highest = points().map(|(_, y)| *y).fold(f64::MIN_POSITIVE, f64::max);
        let (x0, y0) = ((left + LEFT) as f64, (top + TITLE) as f64 + LINE_HEIGHT);
        let x =
            |at: f64| x0 + (self.along(at) - left_most) / (right_most - left_most).max(f64::MIN_POSITIVE) * LINE_WIDTH;
        let y = |at: f64| y0 - at / highest * LINE_HEIGHT;
        let text = left + 8;
        let _ = writeln!(out, "<text class=\"t\" x=\"{text}\" y=\"{}\">{}</text>", top + 18, self.title);
        let _ = writeln!(out, "<text class=\"u\" x=\"{text}\" y=\"{}\">{}</text>", top + 34, self.unit);
        let _ = writeln!(out, "<path class=\"a\" d=\"M{x0:.0} {:.0}V{y0:.0}H{:.0}\"/>", y(highest), x0 + LINE_WIDTH);
        let _ = writeln!(
            out,
            "<text class=\"u\" x=\"{text}\" y=\"{:.0}\">{}</text>",
            y(highest) + 12.0,
            cell(Some(highest))
        );
        for at in self.marks() {
            let anchor = format!("text-anchor=\"middle\" x=\"{:.0}\" y=\"{:.0}\"", x(at), y0 + 16.0);
            let _ = writeln!(out, "<text class=\"u\" {anchor}>{}</text>", cell(Some(at)));
        }
        for (row, (kind, points)) in self.lines.iter().enumerate() {
            let (colour, dashes) = style(*kind);
            let path: Vec<_> = points.iter().map(|(at, up)| format!("{:.1},{:.1}", x(*at), y(*up))).collect();
            let stroke = format!("class=\"l\" stroke=\"{colour}\" stroke-dasharray=\"{dashes}\"");
            let _ = writeln!(out, "<polyline {stroke} points=\"{}\"/>", path.join(" "));
            let (legend, line) = (x0 + LINE_WIDTH + 12.0, top + TITLE + 12 + row * 16);
            let _ = writeln!(out, "<path {stroke} d=\"M{legend:.0} {}h14\"/>", line - 4);
            let _ = writeln!(out, "<text x=\"{:.0}\" y=\"{line}\">{}</text>", legend + 18.0, kind.name());
        }
    }

    fn along(&self, x: f64) -> f64 {
        if self.scale == Scale::Logarithmic { x.ln() } else { x }
    }

    /// Returns where the horizontal axis is labelled: at each measured number, or at up to seven whole seconds.
    fn marks(&self) -> Vec<f64> {
        let mut all: Vec<_> = self.lines.iter().flat_map(|(_, points)| points).map(|(x, _)| *x).collect();
        all.sort_by(f64::total_cmp);
        all.dedup();
        match (self.scale, all.last()) {
            (Scale::Linear, Some(end)) => {
                let step = (end / 6.0).ceil();
                (0..=6).map(|at| f64::from(at) * step).filter(|at| at <= end).collect()
            }
            _ => all,
        }
    }
}

/// Returns the colour and the dashes of a server's line.
fn style(kind: Kind) -> (&'static str, &'static str) {
    let colour = match kind {
        Kind::BareEach | Kind::BareCoalescing => "#868e96",
        Kind::Axum => "#e8590c",
        Kind::Nchan1 | Kind::Nchan2 => "#f59f00",
        Kind::Centrifugo | Kind::CentrifugoLive => "#7048e8",
        Kind::Mercure | Kind::MercureLive => "#c2255c",
        Kind::DurableStreams => "#2b8a3e",
        _ => "#0b7285",
    };
    let dashed = kind.is_live() || matches!(kind, Kind::BareEach | Kind::Nchan1);
    (colour, if dashed { "4 3" } else { "none" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::case_result;

    #[test]
    fn a_line_goes_through_the_cases_of_one_server() {
        let at = |name, tidecast, axum| case_result(name, &[(Kind::Tidecast, tidecast), (Kind::Axum, axum)]);
        let results =
            [at("growth-readers-10", 2.0, 4.0), at("growth-readers-100", 1.0, 3.0), at("closed-100", 9.0, 9.0)];
        let charts = all(&results);
        assert_eq!(charts.len(), 1);
        assert_eq!(charts[0].lines[1], (Kind::Axum, vec![(10.0, 4.0), (100.0, 3.0)]));
        let mut out = String::new();
        charts[0].draw(&mut out, 0, 0);
        // The highest value is at the top, and the last number at the right end.
        let (left, right, top) = (LEFT as f64, LEFT as f64 + LINE_WIDTH, TITLE as f64);
        let half = top + LINE_HEIGHT / 2.0;
        assert!(out.contains(&format!("points=\"{left:.1},{half:.1} {right:.1},")), "{out}");
        assert!(out.contains(&format!("points=\"{left:.1},{top:.1} ")), "{out}");
    }

    #[test]
    fn a_storm_is_drawn_until_the_last_server_is_done() {
        let mut result = case_result("connects-at-once", &[(Kind::Tidecast, 1.0), (Kind::Axum, 1.0)]);
        result.servers[0].1.timeline = vec![9.0];
        result.servers[1].1.timeline = vec![1.0, 5.0, 9.0];
        let chart = timeline(&result).unwrap();
        assert_eq!(chart.lines[0].1.last(), Some(&(3.0 * STEP, 9.0)));
        assert_eq!(chart.lines[1].1[2], (2.0 * STEP, 5.0));
        assert!(timeline(&case_result("connects-1000", &[(Kind::Axum, 1.0)])).is_none());
    }
}
