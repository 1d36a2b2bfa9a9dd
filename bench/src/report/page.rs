//! The page of figures: tables between two marks, and a plot beside it.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use super::{Answer, bars, markdown, plot};

const BEGIN: &str = "<!-- figures: begin -->\n";
const END: &str = "<!-- figures: end -->";

/// Writes the tables into the page, and the plot beside it under the same name.
///
/// # Errors
/// If the page is not there, or has not the two marks.
pub(crate) fn write(page: &Path, answers: &[Answer]) -> Result<()> {
    let plot = page.with_extension("svg");
    let name = plot.file_name().unwrap_or_default().to_string_lossy();
    let image = format!("![Some of the figures, a bar for each server]({name})");
    let tables = format!("{image}\n\n{}\n{}", bars(answers), markdown(answers).trim_end());
    let text = fs::read_to_string(page).with_context(|| format!("{} can't be read", page.display()))?;
    fs::write(page, between_marks(&text, &tables).with_context(|| page.display().to_string())?)?;
    Ok(fs::write(&plot, plot::svg(answers))?)
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
    fn only_what_is_between_the_marks_is_written() {
        let page = format!("# Title\n{BEGIN}old\n{END}\nend\n");
        let written = between_marks(&page, "new").unwrap();
        assert_eq!(written, format!("# Title\n{BEGIN}\nnew\n\n{END}\nend\n"));
        assert_eq!(between_marks(&written, "new").unwrap(), written);
        assert!(between_marks("# Title\n", "new").is_err());
    }
}
