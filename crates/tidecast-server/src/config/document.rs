//! Documents made from the options: the reference page, the sample file, and the configuration in force.

use super::{
    Config, Settings,
    broker::masked,
    options::OPTIONS,
    spec::{OptionSpec, ValueKind, Zero},
};

/// Returns the reference page, `docs/configuration.md`.
pub(crate) fn reference() -> String {
    let mut page = String::from(
        "# Configuration\n\n\
         <!-- Written by `cargo xtask docs` from the declarations in the program. Change those instead. -->\n\n\
         `cargo install --locked --path crates/tidecast-server` puts `tidecast` on the `PATH`.\n\n\
         `tidecast serve` takes each setting from the first of these that has it:\n\n\
         1. a flag, such as `--keep-alive 30s`;\n\
         2. an environment variable, such as `TIDECAST_KEEP_ALIVE=30s`; an empty one counts as not set;\n\
         3. a TOML file, named by `--config FILE` or `TIDECAST_CONFIG`, such as `keep_alive = \"30s\"`;\n\
         4. the default.\n\n\
         `tidecast check-config` reports every error at once, with the source of the value; `tidecast print-config` prints \
         the configuration in force, and [`tidecast.sample.toml`](tidecast.sample.toml) has every default. [Redis](redis.md) \
         explains the settings that begin with `redis`.\n\n\
         In a file, a list can also be written as repeated tables with one value each, so that a comment can stand beside \
         each and an error names its line. Flags and variables cannot express tables.\n\n\
         | key | default | what it sets |\n|---|---|---|\n",
    );
    for option in OPTIONS {
        page += &format!("| [`{}`](#{0}) | {} | {} |\n", option.key, shown_default(option), option.doc);
    }
    for option in OPTIONS {
        page += &format!("\n## `{}`\n\n{}.\n\n", option.key, option.doc);
        page += &format!("- flag `{}`, variable `{}`\n", option.flag(), option.variable());
        page += &format!("- default: {}\n", shown_default(option));
        let more = if option.kind == ValueKind::Redis { "; see [URLs](redis.md#urls)" } else { "" };
        page += &format!("- written as: {}{more}\n", option.kind.written());
        if let Some(key) = option.kind.table_key() {
            page +=
                &format!("- as tables in a file: `[[{}]]` with `{key} = {:?}`\n", option.key, option.kind.example());
        }
        match option.zero {
            Zero::Plain => {}
            Zero::Means(meaning) => page += &format!("- 0: {meaning}\n"),
            Zero::Invalid(why) => page += &format!("- must not be 0: {why}\n"),
        }
    }
    page
}

/// Returns the sample file, `docs/tidecast.sample.toml`: every option at its default, commented out.
pub(crate) fn sample() -> String {
    let mut file = String::from(
        "# Settings of `tidecast serve --config FILE`. Each line has the default; remove its `#` to change it.\n\
         # Flags and TIDECAST_ variables take precedence. Written by `cargo xtask docs`.\n",
    );
    for option in OPTIONS {
        file += &format!("\n# {}.\n", option.doc.replace('`', ""));
        match option.zero {
            Zero::Plain => {}
            Zero::Means(meaning) => file += &format!("# 0: {meaning}.\n"),
            Zero::Invalid(why) => file += &format!("# Must not be 0: {why}.\n"),
        }
        if !option.default_note.is_empty() {
            file += &format!("# The default is {}.\n", option.default_note.replace('`', ""));
        }
        let example = if option.default.is_empty() { option.kind.example() } else { option.default };
        file += &format!("#{} = {}\n", option.key, toml_value(option.kind, &[example.to_owned()]));
    }
    file
}

/// Returns the configuration in force as a file, with the source of each value. Secrets are masked.
pub(crate) fn in_force(settings: &Settings, config: &Config) -> String {
    let mut file = String::new();
    for option in OPTIONS {
        let (line, source) = match settings.find(option.key) {
            Some(set) => {
                let masked = set.values.iter().find_map(|value| masked(option, value));
                let line = match masked {
                    Some(masked) => format!("#{} = {}", option.key, toml_value(option.kind, &[masked])),
                    None => format!("{} = {}", option.key, toml_value(option.kind, &set.values)),
                };
                (line, settings.source(option.key))
            }
            None if option.default.is_empty() => {
                let computed = config.computed(option.key).map_or_else(String::new, |value| format!(" = {value}"));
                (format!("#{}{computed}", option.key), format!("default: {}", option.shown_default()))
            }
            None => {
                let default = toml_value(option.kind, &[option.default.to_owned()]);
                (format!("{} = {default}", option.key), "default".to_owned())
            }
        };
        file += &format!("{line}  # {source}\n");
    }
    file
}

fn shown_default(option: &OptionSpec) -> String {
    if option.default.is_empty() { option.shown_default().to_owned() } else { format!("`{}`", option.default) }
}

fn toml_value(kind: ValueKind, values: &[String]) -> String {
    let quoted = |text: &String| toml::Value::String(text.clone()).to_string();
    let first = values.first().cloned().unwrap_or_default();
    match kind {
        ValueKind::Switch | ValueKind::Count | ValueKind::Truth => first,
        kind if kind.is_list() => format!("[{}]", values.iter().map(quoted).collect::<Vec<_>>().join(", ")),
        _ => quoted(&first),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_documents_in_the_repository_match_the_declarations() {
        for (name, text) in [("configuration.md", reference()), ("tidecast.sample.toml", sample())] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
            let kept = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(kept == text, "docs/{name} is out of date: run `cargo xtask docs`");
        }
    }

    #[test]
    fn the_sample_with_every_line_uncommented_is_a_configuration() {
        // A line with a setting has its `#` right before the key.
        let sample = sample();
        let lines = sample.lines().map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
            _ => format!("{line}\n"),
        });
        let file: String = lines.filter(|line| !line.starts_with("open_publish")).collect();
        let mut settings = Settings::default();
        settings.add_file(Path::new("sample"), &file);
        for option in OPTIONS.iter().filter(|option| option.key != "open_publish") {
            assert!(settings.find(option.key).is_some(), "{}", option.key);
        }
        // The keys of the sample have spaces on purpose, so that they must be replaced.
        let errors = Config::from_settings(&settings).unwrap_err();
        let starts: Vec<_> = errors.iter().filter_map(|error| error.split_once(" in sample, line ")).collect();
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert_eq!(starts.iter().map(|(key, _)| *key).collect::<Vec<_>>(), ["publish_key", "ticket_key"]);
    }

    /// Only the first of several tables was named.
    #[test]
    fn the_configuration_in_force_has_every_value_of_a_list_and_reads_back() {
        let file = "[[cors_origin]]\norigin = \"http://a.example\"\n\n[[allowed_hosts]]\nhost = \"a\"\n\n\
                    [[cors_origin]]\norigin = \"http://b.example\"\n";
        let mut settings = Settings::default();
        settings.add_file(Path::new("a.toml"), file);
        let config = Config::from_settings(&settings).unwrap();
        let shown = in_force(&settings, &config);
        for line in [
            "cors_origin = [\"http://a.example\", \"http://b.example\"]  # [[cors_origin]] in a.toml, lines 1, 7\n",
            "allowed_hosts = [\"a\"]  # [[allowed_hosts]] in a.toml, line 4\n",
        ] {
            assert!(shown.contains(line), "{shown}");
        }
        let mut again = Settings::default();
        again.add_file(Path::new("shown"), &shown);
        for key in ["cors_origin", "allowed_hosts"] {
            let values = |settings: &Settings| settings.find(key).unwrap().values.clone();
            assert_eq!(values(&again), values(&settings), "{key}");
        }
    }

    #[test]
    fn the_declared_defaults_are_those_of_the_engine() {
        let config = Config::from_settings(&Settings::default()).unwrap();
        assert_eq!(config.limits, tidecast::Limits::default());
        assert_eq!(config.streams, tidecast_axum::StreamOptions::default());
    }
}
