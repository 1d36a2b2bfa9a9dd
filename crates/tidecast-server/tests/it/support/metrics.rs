//! Names of metrics in a scrape and in `docs/metrics.md`.

use std::collections::BTreeSet;

/// Returns the name of every line of a scrape, without labels.
pub(crate) fn scraped_names(scrape: &str) -> BTreeSet<String> {
    let lines = scrape.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split([' ', '{']).next()).map(str::to_owned).collect()
}

/// Returns the names in the tables of `docs/metrics.md` above this line.
pub(crate) fn documented_names(end: &str) -> BTreeSet<String> {
    let page = include_str!("../../../../../docs/metrics.md");
    let (tables, _) = page.split_once(end).expect("the page has this heading");
    let cells = tables.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    cells.map(|(name, _)| name.to_owned()).collect()
}
