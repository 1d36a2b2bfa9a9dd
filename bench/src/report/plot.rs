//! The plot: a panel for each of a few cases with a bar for each server, and below them the charts of [`chart`].
//!
//! Its colours follow the page's light or dark mode, and it needs no script and no font.

use std::fmt::Write;

use super::{CaseResult, PANEL_WIDTH, WIDTH, cell, chart};
use crate::figures::Metric;

/// The plotted cases and figures.
const PANELS: [(&str, Metric); 6] = [
    ("idle-15000", Metric::KibEach),
    ("closed-1000", Metric::Deliveries),
    ("paced-1000", Metric::Cpu),
    ("paced-10000", Metric::P99),
    ("channels-closed", Metric::Publishes),
    ("connects-1000", Metric::CpuOfConnects),
];

const ROW: usize = 20;
const TITLE: usize = 44;
const NAME_WIDTH: usize = 130;
const BAR_WIDTH: usize = PANEL_WIDTH - NAME_WIDTH - 90;

const STYLE: &str = "text{font:12px sans-serif;fill:#222}.t{font-weight:bold}.u{fill:#666}.own{fill:#0b7285}\
.bare{fill:#adb5bd}.peer{fill:#e8590c}\
.l{fill:none;stroke-width:2}.a{fill:none;stroke:#888}@media(prefers-color-scheme:dark){text{fill:#ddd}.u{fill:#999}}";

/// Returns the plot of the measured cases, or `None` if none of them is plotted.
pub(super) fn svg(results: &[CaseResult]) -> Option<String> {
    let panels: Vec<_> = PANELS
        .iter()
        .filter_map(|(name, metric)| {
            Some((results.iter().find(|case_result| case_result.case.name == *name)?, *metric))
        })
        .collect();
    let charts = chart::all(results);
    if panels.is_empty() && charts.is_empty() {
        return None;
    }
    let rows = panels.iter().map(|(case_result, _)| case_result.servers.len()).max().unwrap_or(0);
    let panel_height = TITLE + rows * ROW + 16;
    let panels_height = panel_height * panels.len().div_ceil(2);
    let height = panels_height + chart::HEIGHT * charts.len().div_ceil(2);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\">\n<style>{STYLE}</style>\n"
    );
    for (at, (case_result, metric)) in panels.into_iter().enumerate() {
        panel(&mut out, case_result, metric, at % 2 * PANEL_WIDTH, at / 2 * panel_height);
    }
    for (at, chart) in charts.iter().enumerate() {
        chart.draw(&mut out, at % 2 * PANEL_WIDTH, panels_height + at / 2 * chart::HEIGHT);
    }
    Some(out + "</svg>\n")
}

fn panel(out: &mut String, case_result: &CaseResult, metric: Metric, left: usize, top: usize) {
    let better = if metric.more_is_better() { "more is better" } else { "less is better" };
    let (x, y) = (left + 8, top + 18);
    let _ = writeln!(out, "<text class=\"t\" x=\"{x}\" y=\"{y}\">{}</text>", case_result.case.title);
    let _ = writeln!(out, "<text class=\"u\" x=\"{x}\" y=\"{}\">{}, {better}</text>", y + 16, metric.name());
    let longest =
        case_result.servers.iter().filter_map(|(_, figures)| figures.of(metric)).fold(f64::MIN_POSITIVE, f64::max);
    for (row, (kind, figures)) in case_result.servers.iter().enumerate() {
        let y = top + TITLE + row * ROW;
        let figure = figures.of(metric);
        let width = figure.unwrap_or(0.0) / longest * BAR_WIDTH as f64;
        let class = match kind {
            kind if kind.is_own() => "own",
            kind if kind.is_bare() => "bare",
            _ => "peer",
        };
        let bar = left + NAME_WIDTH;
        let _ = writeln!(out, "<text x=\"{x}\" y=\"{}\">{}</text>", y + 12, kind.name());
        let _ = writeln!(
            out,
            "<rect class=\"{class}\" x=\"{bar}\" y=\"{}\" width=\"{width:.1}\" height=\"{}\"/>",
            y + 2,
            ROW - 6
        );
        let _ = writeln!(out, "<text x=\"{:.1}\" y=\"{}\">{}</text>", bar as f64 + width + 5.0, y + 12, cell(figure));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{report::tests::case_result, servers::Kind};

    #[test]
    fn without_a_plotted_case_there_is_no_plot() {
        assert!(svg(&[case_result("publish-1", &[(Kind::Tidecast, 1.0)])]).is_none());
    }

    #[test]
    fn the_longest_bar_fills_its_panel_and_the_others_are_in_proportion() {
        let svg = svg(&[case_result("closed-1000", &[(Kind::Tidecast, 4e6), (Kind::Axum, 1e6)])]).unwrap();
        assert!(svg.contains(&format!("width=\"{BAR_WIDTH}.0\"")), "{svg}");
        assert!(svg.contains(&format!("width=\"{}.0\"", BAR_WIDTH / 4)), "{svg}");
        assert!(svg.contains("4,000,000") && svg.ends_with("</svg>\n"));
    }
}
