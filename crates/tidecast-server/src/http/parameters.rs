//! Parses query parameters strictly: an unknown one is most likely misspelt.

use tidecast_axum::{Problem, internals::query};

/// Minimum similarity of two names, from 0 to 1, for one to count as a misspelling of the other.
const LIKENESS_MIN: f64 = 0.8;

/// Maximum number of characters of an unknown name that are shown.
const SHOWN_MAX: usize = 64;

/// Names that other programs use for our parameters.
const ALIASES: &[(&str, &str)] = &[
    ("after", "last_event_id"),
    ("since", "last_event_id"),
    ("count", "last"),
    ("limit", "last"),
    ("access_token", "ticket"),
    ("authorization", "ticket"),
    ("jwt", "ticket"),
    ("token", "ticket"),
    ("body", "data"),
    ("message", "data"),
    ("payload", "data"),
    ("event", "type"),
];

/// Refuses a query with an unknown parameter, and suggests a similar known one. Names that begin with `_` are ignored:
/// libraries add them to bypass caches.
///
/// # Errors
///
/// A 400.
pub(crate) fn refuse_unknown(query: Option<&str>, known: &[&str]) -> Result<(), Problem> {
    let Some(query) = query.filter(|query| !query.is_empty()) else { return Ok(()) };
    let names = query::names(query.as_bytes())?;
    match names.iter().find(|name| !name.starts_with('_') && !known.contains(&name.as_str())) {
        Some(name) => Err(unknown(name, known)),
        None => Ok(()),
    }
}

/// Returns the value of a parameter, if it is present and not empty.
///
/// # Errors
///
/// A 400 for a value that is not UTF-8.
pub(crate) fn value(query: Option<&str>, name: &str) -> Result<Option<String>, Problem> {
    let values = query::values(query.unwrap_or_default().as_bytes(), name)?;
    let value = values.into_iter().find(|value| !value.is_empty());
    let value = value.map(|value| String::from_utf8(value.into_owned())).transpose();
    value.map_err(|_| Problem::bad_request(format!("`{name}` is not UTF-8")))
}

/// Returns the problem of an unknown name.
pub(crate) fn unknown(name: &str, known: &[&str]) -> Problem {
    let shown: String = name.chars().take(SHOWN_MAX).collect();
    let guess = match meant(name, known) {
        Some(meant) => format!("; did you mean `{meant}`?"),
        None => String::new(),
    };
    let names = known.join(", ");
    let known = match known {
        [] => "there are no parameters".to_owned(),
        [name] => format!("the only known name is `{name}`"),
        _ => format!("the known names are {names}"),
    };
    Problem::bad_request(format!("`{shown}` is not known here{guess}; {known}"))
}

fn meant<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = name.to_ascii_lowercase();
    let name = name.split('[').next().unwrap_or_default();
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, meant)| *meant);
    let alias = alias.or_else(|| query::is_channel_alias(name).then_some("channel"));
    if let Some(known) = known.iter().find(|known| alias == Some(**known) || known.eq_ignore_ascii_case(name)) {
        return Some(known);
    }
    let likeness = |known: &&&str| strsim::jaro_winkler(known, name);
    let best = known.iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other)))?;
    (likeness(&best) > LIKENESS_MIN).then_some(*best)
}

#[cfg(test)]
mod tests {
    use super::meant;

    #[test]
    fn aliases_and_misspelt_names_are_recognised() {
        let stream = ["channel", "last_event_id", "lastEventId", "last", "ticket", "open"];
        for (name, expected) in [
            ("channel[]", "channel"),
            ("channel[0]", "channel"),
            ("channels", "channel"),
            ("Channel", "channel"),
            ("topic", "channel"),
            ("stream", "channel"),
            ("chanel", "channel"),
            ("lastEventID", "lastEventId"),
            ("last-event-id", "last_event_id"),
            ("since", "last_event_id"),
            ("limit", "last"),
            ("token", "ticket"),
        ] {
            assert_eq!(meant(name, &stream), Some(expected), "{name}");
        }
        for name in ["", "t", "utm_source", "x", "[]"] {
            assert_eq!(meant(name, &stream), None, "{name}");
        }
        assert_eq!(meant("topic", &["last"]), None);
        assert_eq!(meant("event", &["channel", "data", "type"]), Some("type"));
    }
}
