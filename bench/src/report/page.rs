//! The page of figures: tables between two marks, and a plot beside it.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use super::{Answer, markdown, plot};

const BEGIN: &str = "<!-- figures: begin -->\n";
const END: &str = "<!-- figures: end -->";

/// Writes the tables into the page, and the plot beside it under the same name.
///
/// # Errors
/// If the page is not there, or has not the two marks.
pub(crate) fn write(page: &Path, answers: &[Answer]) -> Result<()> {
    let text = fs::read_to_string(page).with_context(|| format!("{} can't be read", page.display()))?;
    fs::write(page, between_marks(&text, &markdown(answers)).with_context(|| page.display().to_string())?)?;
    Ok(fs::write(page.with_extension("svg"), plot::svg(answers))?)
}

fn between_marks(text: &str, tables: &str) -> Result<String> {
    let (before, rest) = text.split_once(BEGIN).with_context(|| format!("no line {BEGIN:?}"))?;
    let (_, behind) = rest.split_once(END).with_context(|| format!("no line {END:?}"))?;
    Ok(format!("{before}{BEGIN}\n{tables}\n{END}{behind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_is_written() {
        let page = format!("# Title\n{BEGIN}old\n{END}\nend\n");
        let written = between_marks(&page, "new\n").unwrap();
        assert_eq!(written, format!("# Title\n{BEGIN}\nnew\n\n{END}\nend\n"));
        assert_eq!(between_marks(&written, "new\n").unwrap(), written);
        assert!(between_marks("# Title\n", "new").is_err());
    }
}
