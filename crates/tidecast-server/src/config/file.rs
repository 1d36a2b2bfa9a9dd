//! Reads settings from a TOML file.

use std::path::Path;

use toml::{Spanned, de::DeTable};

use tidecast_axum::internals::query::quoted;

use super::{
    options::{OPTIONS, find},
    sources::{Setting, SettingError, SettingSource, Settings},
    spec::{OptionSpec, ValueKind},
};
use crate::http::body::BYTE_ORDER_MARK;

impl Settings {
    /// Adds a file's settings and errors.
    pub(crate) fn add_file(&mut self, path: &Path, text: &str) {
        let file = path.display().to_string();
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let table: toml::Table = match text.parse() {
            Ok(table) => table,
            Err(error) => return self.add_error(format!("{file} is not TOML: {}", without_excerpt(text, &error))),
        };
        // The places of the keys and values, which `table` lacks. A file that was parsed once is parsed again.
        let places = DeTable::parse(text).map(Spanned::into_inner).unwrap_or_default();
        for (key, value) in table {
            let place = places.get_key_value(key.as_str());
            let line = place.map_or(1, |(key, _)| line_of(text, key.span().start));
            let source = SettingSource::File { key: key.clone(), file: file.clone(), line };
            let Some(option) = find(&key) else {
                let why = match value {
                    toml::Value::Table(_) => {
                        "there is no such key; the file has no sections: write the keys without one"
                    }
                    _ => "there is no such key",
                };
                let guess = suggestion(&key, OPTIONS.iter().map(|option| option.key));
                self.errors.push(SettingError { line, text: format!("{source}: {why}{guess}") });
                continue;
            };
            let read = match (option.kind.table_key(), &value) {
                (Some(table_key), toml::Value::Array(tables)) if tables.iter().any(toml::Value::is_table) => {
                    let places = place.and_then(|(_, value)| value.get_ref().as_array()).into_iter().flatten();
                    let lines = places.map(|table| line_of(text, table.span().start)).collect();
                    let source = SettingSource::Tables { key, file: file.clone(), lines };
                    read_tables(tables, table_key, source)
                }
                _ => match texts(option.kind, &value) {
                    Some(values) => Ok(Setting { values, source }),
                    None => {
                        Err(vec![SettingError { line, text: format!("{source}: {}", wrong_shape(option, &value)) }])
                    }
                },
            };
            match read {
                Ok(setting) => self.add(option, setting),
                Err(errors) => self.errors.extend(errors),
            }
        }
    }
}

/// Reads the values of a list from repeated tables, each of which has one key.
fn read_tables(
    tables: &[toml::Value],
    table_key: &'static str,
    source: SettingSource,
) -> Result<Setting, Vec<SettingError>> {
    let mut values = Vec::with_capacity(tables.len());
    let mut errors = Vec::new();
    for (index, value) in tables.iter().enumerate() {
        let table = value.as_table();
        let other = table.and_then(|table| table.keys().find(|key| *key != table_key));
        let text = table.and_then(|table| table.get(table_key)).and_then(toml::Value::as_str);
        let why = match (text, other) {
            (Some(text), None) => {
                values.push(text.to_owned());
                continue;
            }
            (_, Some(key)) => format!("there is no key {key} in this table{}", suggestion(key, [table_key])),
            (None, None) => format!("write `{table_key} = \"…\"` in each table"),
        };
        let text = format!("{}: {why}", source.of_value(index));
        errors.push(SettingError { line: source.line_of_value(index), text });
    }
    if errors.is_empty() { Ok(Setting { values, source }) } else { Err(errors) }
}

/// Describes a syntax error by its place. The error's own text shows the line, which may have a secret in it.
fn without_excerpt(text: &str, error: &toml::de::Error) -> String {
    let at = error.span().map_or(0, |span| span.start);
    let before = text.get(..at).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = line_of(text, at);
    let column = before[line_start..].chars().count() + 1;
    format!("line {line}, column {column}: {}", error.message())
}

/// Returns the number of the line with a byte of a text. The first line is 1.
fn line_of(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or_default().matches('\n').count() + 1
}

/// Returns a file's value as text; `None` if it has not the shape that the option takes.
fn texts(kind: ValueKind, value: &toml::Value) -> Option<Vec<String>> {
    match (kind, value) {
        (ValueKind::Switch | ValueKind::Truth, toml::Value::Boolean(on)) => Some(vec![on.to_string()]),
        (ValueKind::Count | ValueKind::Size | ValueKind::Time, toml::Value::Integer(number)) => {
            Some(vec![number.to_string()])
        }
        (kind, toml::Value::Array(values)) if kind.is_list() => {
            values.iter().map(|value| value.as_str().map(str::to_owned)).collect()
        }
        (ValueKind::Count | ValueKind::Switch | ValueKind::Truth, _) => None,
        (_, toml::Value::String(text)) => Some(vec![text.clone()]),
        _ => None,
    }
}

/// Returns a question after the known key that a misspelt one is similar to, if there is one.
fn suggestion(key: &str, known: impl IntoIterator<Item = &'static str>) -> String {
    match nearest(key, known) {
        Some(known) => format!("; did you mean {known}?"),
        None => String::new(),
    }
}

/// Returns the known name that a misspelt one is most similar to, if one is similar enough.
pub(super) fn nearest(name: &str, known: impl IntoIterator<Item = &'static str>) -> Option<&'static str> {
    let likeness = |known: &&str| strsim::jaro_winkler(known, name);
    let best = known.into_iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
    best.filter(|known| likeness(known) > 0.8)
}

/// Describes what is wrong with a value that has not the shape that the option takes.
fn wrong_shape(option: &OptionSpec, value: &toml::Value) -> String {
    let written = option.kind.written();
    match value {
        toml::Value::Table(_) => {
            let one = if option.kind.is_text() { "one string" } else { "one setting" };
            format!("is {one}, and the file has no sections: write `{} = …`, with {written}", option.key)
        }
        _ if matches!(option.kind, ValueKind::Secret | ValueKind::Redis) => match value {
            toml::Value::Array(_) => format!("must be {written}"),
            _ => format!("write it in quotes: must be {written}"),
        },
        toml::Value::Array(_) => format!("is an array, and must be {written}"),
        toml::Value::String(text) => format!("is {}, and must be {written}", quoted(text)),
        _ if option.kind.is_text() => format!("is {value}, and must be in quotes: {written}"),
        _ => format!("is {value}, and must be {written}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn errors(file: &str) -> Vec<String> {
        let mut settings = Settings::default();
        settings.add_file(Path::new("a.toml"), file);
        Config::from_settings(&settings).err().unwrap_or_default()
    }

    /// The line was shown, with the key in it.
    #[test]
    fn a_syntax_error_is_reported_without_its_line() {
        for (file, place) in [
            ("listen = \"x\"\npublish_key = s3cret\n", "line 2, column 15: "),
            ("publish_key = \"s3cret\n", "line 1, column "),
            ("publish_key \"s3cret\"\n", "line 1, column "),
            ("# é\nredis = 'redis://:s3cret@h' x\n", "line 2, column "),
        ] {
            let errors = errors(file);
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert!(errors[0].starts_with(&format!("a.toml is not TOML: {place}")), "{errors:?}");
            assert!(!errors[0].contains("s3cret") && !errors[0].contains('\n'), "{errors:?}");
        }
    }

    /// A terminal showed a link in Markdown, and not that the file has no sections.
    #[test]
    fn the_error_of_a_wrong_shape_names_the_right_one() {
        let errors = errors(
            "publish_key = 51234\n[redis]\nurl = \"redis://localhost\"\n[keep_alive]\nx = 1\n[server]\nlisten = \"x\"\n",
        );
        let starts = [
            "publish_key in a.toml, line 1: write it in quotes",
            "redis in a.toml, line 2: is one string, and the file has no sections: write `redis = …`, with `redis://",
            "keep_alive in a.toml, line 4: is one setting, and the file has no sections: write `keep_alive = …`",
            "server in a.toml, line 6: there is no such key; the file has no sections",
        ];
        assert_eq!(errors.len(), starts.len(), "{errors:#?}");
        for (error, start) in errors.iter().zip(starts) {
            assert!(error.starts_with(start) && !error.contains("](") && !error.contains("51234"), "{error}");
        }
    }

    /// Those that the file's shape shows came first, and then the others in the order in which the settings are read.
    #[test]
    fn errors_are_in_the_order_of_the_file() {
        let file = "retry = \"soon\"\nlog_evnts = 1\nkeep_alive = \"x\"\nlog_events = \"7\"\nlisten = \"x\"\n\
                    [[cors_origin]]\norigin = \"a\"\n[[cors_origin]]\nx = 1\n[[allowed_hosts]]\n";
        let lines: Vec<_> =
            errors(file).iter().map(|error| error.split([',', ':']).nth(1).unwrap().to_owned()).collect();
        assert_eq!(lines, [1, 2, 3, 4, 5, 8, 10].map(|line| format!(" line {line}")));
    }

    #[test]
    fn a_list_can_be_written_as_repeated_tables() {
        let mut settings = Settings::default();
        let file = "listen = \"127.0.0.1:0\"\n[[anonymous_subscribe]]\nchannel = \"news/*\"\n\n[[ cors_origin ]]\n\
                    origin = \"http://a.example\"\n# The second one.\n[[anonymous_subscribe]]\nchannel = \"chat\"\n";
        settings.add_file(Path::new("a.toml"), file);
        let tables = Config::from_settings(&settings).unwrap().access;
        let mut settings = Settings::default();
        let file = "anonymous_subscribe = [\"news/*\", \"chat\"]\ncors_origin = [\"http://a.example\"]\n";
        settings.add_file(Path::new("a.toml"), file);
        let arrays = Config::from_settings(&settings).unwrap().access;
        assert_eq!((tables.anonymous, tables.cors_origins), (arrays.anonymous, arrays.cors_origins));
    }

    /// A header or key within a string counted as one, and a quoted one was not found.
    #[test]
    fn the_line_of_a_setting_is_found_however_its_key_is_written() {
        let mut settings = Settings::default();
        let file = "publish_key = \"\"\"x\n[[cors_origin]]\nretry = 1\n\"\"\"\n'retry' = 1\n[[\"cors_origin\"]]\norigin = \"a\"\n";
        settings.add_file(Path::new("a.toml"), file);
        let sources = ["publish_key", "retry", "cors_origin"].map(|key| settings.source(key));
        let lines = ["publish_key in a.toml, line 1", "retry in a.toml, line 5", "[[cors_origin]] in a.toml, line 6"];
        assert_eq!(sources, lines);
    }

    #[test]
    fn an_error_in_a_table_names_its_line() {
        for (file, error) in [
            (
                "[[cors_origin]]\norigin = \"http://a\"\n[[cors_origin]]\norigin = \"a\"\n",
                "[[cors_origin]] in a.toml, line 3: \"a\" is not an origin",
            ),
            (
                "[[allowed_hosts]]\nhsot = \"a\"\n",
                "[[allowed_hosts]] in a.toml, line 1: there is no key hsot in this table; did you mean host?",
            ),
            ("[[allowed_hosts]]\n", "[[allowed_hosts]] in a.toml, line 1: write `host = \"…\"` in each table"),
            ("[[allowed_hosts]]\nhost = 1\n", "[[allowed_hosts]] in a.toml, line 1: write `host = \"…\"`"),
            ("cors_origin = [{ origin = \"a\" }]\n", "[[cors_origin]] in a.toml, line 1: \"a\" is not an origin"),
            ("[[keep_alive]]\nx = 1\n", "keep_alive in a.toml, line 1: is an array, and must be"),
            ("[[server]]\nx = 1\n", "server in a.toml, line 1: there is no such key"),
        ] {
            let errors = errors(file);
            assert!(errors.len() == 1 && errors[0].starts_with(error), "{error}: {errors:?}");
        }
    }
}
