//! The command line of the bench.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    cases::{self, Case, Effort},
    servers::Kind,
};

const FULL: Effort = Effort { rounds: 3, time: Duration::from_secs(4), quick: false };
const QUICK: Effort = Effort { rounds: 1, time: Duration::from_millis(60), quick: true };

/// The parsed command line.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) effort: Effort,
    pub(crate) cases: Vec<&'static Case>,
    pub(crate) servers: Vec<Kind>,
    pub(crate) json: bool,
    pub(crate) list: bool,
    /// The folder of the pages to write.
    pub(crate) docs: Option<PathBuf>,
}

impl Arguments {
    /// Parses the arguments. Without a case or a server, all are selected.
    ///
    /// # Errors
    ///
    /// If an argument is unknown or invalid.
    pub(crate) fn read(arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut arguments = arguments.peekable();
        let (mut quick, mut json, mut list, mut docs) = (false, false, false, None);
        let (mut rounds, mut seconds) = (None, None);
        let (mut cases, mut servers) = (Vec::new(), Vec::new());
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--quick" => quick = true,
                "--json" => json = true,
                "--list" => list = true,
                "--write-docs" => docs = Some(PathBuf::from(value()?)),
                "--rounds" => rounds = Some(value()?.parse().context("--rounds")?),
                "--seconds" => seconds = Some(value()?.parse().context("--seconds")?),
                "--case" | "--server" => {
                    let mut names = vec![value()?];
                    names.extend(std::iter::from_fn(|| arguments.next_if(|name| !name.starts_with("--"))));
                    for name in names {
                        match argument.as_str() {
                            "--case" => cases.extend(cases_named(&name)?),
                            _ => servers.extend(servers_named(&name)?),
                        }
                    }
                }
                other => bail!("unknown argument `{other}`"),
            }
        }
        let mut effort = if quick { QUICK } else { FULL };
        effort.rounds = rounds.unwrap_or(effort.rounds);
        effort.time = match seconds {
            Some(seconds) => Duration::try_from_secs_f64(seconds).context("--seconds")?,
            None => effort.time,
        };
        ensure!(effort.rounds > 0 && !effort.time.is_zero(), "--rounds and --seconds must be above zero");
        if cases.is_empty() {
            cases.extend(cases::ALL);
        }
        if servers.is_empty() {
            servers.extend(Kind::ALL);
        }
        Ok(Self { effort, cases, servers, json, list, docs })
    }
}

/// Returns the case of this name, or else all whose name begins with it and a hyphen.
fn cases_named(name: &str) -> Result<Vec<&'static Case>> {
    let mut found: Vec<_> = cases::ALL.iter().filter(|case| case.name == name).collect();
    if found.is_empty() {
        found.extend(cases::ALL.iter().filter(|case| begins_with(case.name, name)));
    }
    ensure!(!found.is_empty(), "no case `{name}`; --list prints them");
    Ok(found)
}

fn servers_named(name: &str) -> Result<Vec<Kind>> {
    let mut found: Vec<_> = Kind::ALL.into_iter().filter(|kind| kind.name() == name).collect();
    if found.is_empty() {
        found.extend(Kind::ALL.into_iter().filter(|kind| begins_with(kind.name(), name)));
    }
    ensure!(!found.is_empty(), "no server `{name}`; --list prints them");
    Ok(found)
}

fn begins_with(whole: &str, name: &str) -> bool {
    whole.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Arguments> {
        Arguments::read(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn without_names_everything_is_measured() {
        let arguments = read("--quick").unwrap();
        assert_eq!((arguments.cases.len(), arguments.servers.len()), (cases::ALL.len(), Kind::ALL.len()));
        assert!(arguments.effort.quick);
    }

    #[test]
    fn a_name_selects_one_or_all_that_begin_with_it() {
        let arguments = read("--case closed several --server bare --rounds 7 --seconds 0.5").unwrap();
        let names: Vec<_> = arguments.cases.iter().map(|case| case.name).collect();
        assert_eq!(names, ["closed-100", "closed-1000", "closed-100-1k", "closed-1000-1k", "several"]);
        assert_eq!(read("--case closed-100").unwrap().cases.len(), 1);
        assert_eq!(arguments.servers, [Kind::BareEach, Kind::BareCoalescing]);
        assert_eq!(read("--server tidecast").unwrap().servers, [Kind::Tidecast]);
        assert_eq!((arguments.effort.rounds, arguments.effort.time), (7, Duration::from_millis(500)));
    }

    #[test]
    fn unknown_and_invalid_arguments_are_errors() {
        for line in ["--fast", "--case nothing", "--server ngin", "--rounds", "--rounds 0", "--seconds -1"] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
