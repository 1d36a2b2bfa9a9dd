//! The options as documents: the reference page, the sample file, and what is in force.

use super::{
    Config, Settings,
    broker::masked,
    options::OPTIONS,
    spec::{Kind, OptionSpec, Zero},
};

/// The reference page, `docs/configuration.md`.
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
         `tidecast check-config` tells every mistake at once, with where it came from; `tidecast print-config` prints \
         what is in force, and [`tidecast.sample.toml`](tidecast.sample.toml) is a file with every default in it. What \
         begins with `redis` is explained in [Redis](redis.md).\n\n\
         | key | default | what it sets |\n|---|---|---|\n",
    );
    for option in OPTIONS {
        page += &format!("| [`{}`](#{0}) | {} | {} |\n", option.key, shown_default(option), option.doc);
    }
    for option in OPTIONS {
        page += &format!("\n## `{}`\n\n{}.\n\n", option.key, option.doc);
        page += &format!("- flag `{}`, variable `{}`\n", option.flag(), option.variable());
        page += &format!("- default: {}\n", shown_default(option));
        let more = if option.kind == Kind::Redis { "; [all of it](redis.md#urls)" } else { "" };
        page += &format!("- written as: {}{more}\n", option.kind.written());
        match option.zero {
            Zero::Plain => {}
            Zero::Means(meaning) => page += &format!("- 0: {meaning}\n"),
            Zero::Invalid(why) => page += &format!("- 0 is a mistake: {why}\n"),
        }
    }
    page
}

/// The sample file, `docs/tidecast.sample.toml`: every option, commented out, at its default.
pub(crate) fn sample() -> String {
    let mut file = String::from(
        "# Settings of `tidecast serve --config FILE`. Each line is the default; take its `#` away to change it.\n\
         # Flags and TIDECAST_ variables come first. Written by `cargo xtask docs`.\n",
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
        let example = match (option.default, option.kind) {
            ("", Kind::Count) => "1000",
            ("", Kind::Secret) => "a long random text",
            ("", Kind::Origins) => "http://localhost:5000",
            ("", Kind::Patterns) => "news/*",
            ("", Kind::Hosts) => "hub.example",
            ("", Kind::Redis) => "redis://localhost:6379/0",
            (default, _) => default,
        };
        file += &format!("#{} = {}\n", option.key, toml_value(option.kind, &[example.to_owned()]));
    }
    file
}

/// What is in force, as a file, with where each value came from. Secrets are masked.
pub(crate) fn in_force(settings: &Settings, config: &Config) -> String {
    let mut file = String::new();
    for option in OPTIONS {
        let (line, origin) = match settings.find(option.key) {
            Some(set) => {
                let masked = set.values.iter().find_map(|value| masked(option, value));
                let line = match masked {
                    Some(masked) => format!("#{} = {}", option.key, toml_value(option.kind, &[masked])),
                    None => format!("{} = {}", option.key, toml_value(option.kind, &set.values)),
                };
                (line, settings.origin(option.key))
            }
            None if option.default.is_empty() => {
                let worked_out = config.worked_out(option.key).map_or_else(String::new, |value| format!(" = {value}"));
                (format!("#{}{worked_out}", option.key), format!("default: {}", option.shown_default()))
            }
            None => {
                let default = toml_value(option.kind, &[option.default.to_owned()]);
                (format!("{} = {default}", option.key), "default".to_owned())
            }
        };
        file += &format!("{line}  # {origin}\n");
    }
    file
}

fn shown_default(option: &OptionSpec) -> String {
    if option.default.is_empty() { option.shown_default().to_owned() } else { format!("`{}`", option.default) }
}

fn toml_value(kind: Kind, values: &[String]) -> String {
    let quoted = |text: &String| toml::Value::String(text.clone()).to_string();
    let first = values.first().cloned().unwrap_or_default();
    match kind {
        Kind::Switch | Kind::Count | Kind::Truth => first,
        kind if kind.is_list() => format!("[{}]", values.iter().map(quoted).collect::<Vec<_>>().join(", ")),
        Kind::Address
        | Kind::Choice(_)
        | Kind::Hosts
        | Kind::Origins
        | Kind::Patterns
        | Kind::Prefix
        | Kind::Redis
        | Kind::Secret
        | Kind::Size
        | Kind::Text
        | Kind::Time => quoted(&first),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_documents_in_the_repository_are_what_the_declarations_say() {
        for (name, text) in [("configuration.md", reference()), ("tidecast.sample.toml", sample())] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
            let kept = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(kept == text, "docs/{name} has drifted: run `cargo xtask docs`");
        }
    }

    #[test]
    fn the_sample_with_every_line_taken_in_is_a_configuration() {
        // A line that is a setting has its `#` right before the key.
        let sample = sample();
        let lines = sample.lines().map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
            _ => format!("{line}\n"),
        });
        let file: String = lines.filter(|line| !line.starts_with("open_publish")).collect();
        let mut settings = Settings::default();
        assert_eq!(settings.add_file(Path::new("sample"), &file), [""; 0]);
        for option in OPTIONS.iter().filter(|option| option.key != "open_publish") {
            assert!(settings.find(option.key).is_some(), "{}", option.key);
        }
        // The keys of the sample have spaces, on purpose: they are to be replaced.
        let mistakes = Config::from_settings(&settings).unwrap_err();
        let starts: Vec<_> = mistakes.iter().filter_map(|mistake| mistake.split_once(" in sample, line ")).collect();
        assert_eq!(mistakes.len(), 2, "{mistakes:?}");
        assert_eq!(starts.iter().map(|(key, _)| *key).collect::<Vec<_>>(), ["publish_key", "ticket_key"]);
    }

    #[test]
    fn defaults_of_the_engine_are_those_that_are_declared() {
        let config = Config::from_settings(&Settings::default()).unwrap();
        assert_eq!(config.limits, tidecast::Limits::default());
        assert_eq!(config.streams, tidecast_axum::StreamOptions::default());
    }
}
