//! The pages of figures: tables between two marks, and a plot beside the page.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};

use super::{CaseResult, bars, markdown, plot};

const BEGIN: &str = "<!-- figures: begin -->\n";
const END: &str = "<!-- figures: end -->";

/// Writes the tables into the pages of these results, and the plots beside them under the same names.
///
/// # Errors
///
/// If a page does not exist or lacks the marks.
pub(crate) fn write(docs: &Path, results: Vec<CaseResult>) -> Result<()> {
    let mut pages = BTreeMap::<_, Vec<_>>::new();
    for case_result in results {
        pages.entry(case_result.case.page()).or_default().push(case_result);
    }
    pages.into_iter().try_for_each(|(page, results)| write_page(&docs.join(page), &results))
}

fn write_page(page: &Path, results: &[CaseResult]) -> Result<()> {
    let mut tables = format!("{}\n{}", bars(results), markdown(results).trim_end());
    if let Some(svg) = plot::svg(results) {
        let plot = page.with_extension("svg");
        let name = plot.file_name().unwrap_or_default().to_string_lossy();
        tables = format!("![Some of the figures, a bar for each server]({name})\n\n{tables}");
        fs::write(&plot, svg)?;
    }
    let text = fs::read_to_string(page).with_context(|| format!("cannot read {}", page.display()))?;
    Ok(fs::write(page, between_marks(&text, &tables).with_context(|| page.display().to_string())?)?)
}

fn between_marks(text: &str, tables: &str) -> Result<String> {
    let (before, rest) = text.split_once(BEGIN).with_context(|| format!("no line {BEGIN:?}"))?;
    let (_, behind) = rest.split_once(END).with_context(|| format!("no line {END:?}"))?;
    Ok(format!("{before}{BEGIN}\n{tables}\n\n{END}{behind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_text_between_the_marks_is_replaced() {
        let page = format!("# Title\n{BEGIN}old\n{END}\nend\n");
        let written = between_marks(&page, "new").unwrap();
        assert_eq!(written, format!("# Title\n{BEGIN}\nnew\n\n{END}\nend\n"));
        assert_eq!(between_marks(&written, "new").unwrap(), written);
        assert!(between_marks("# Title\n", "new").is_err());
    }
}
