//! Parses the command line, and loads the settings of `serve`.

use std::{env, ffi::OsString, fs, path::Path};

use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueEnum,
    builder::EnumValueParser,
    error::{ContextKind, ContextValue, ErrorKind},
    parser::ValueSource,
};

use super::{
    bench::{self, BenchArguments},
    client,
    publish::{self, PublishArguments},
    tail::{self, TailArguments},
    ticket::{self, TicketArguments},
};
use crate::config::{OPTIONS, OptionSpec, Setting, SettingSource, Settings, ValueKind, Zero};

/// The variables with our prefix that are not settings of `serve`.
const OTHER_VARIABLES: &[&str] = &[FILE_VARIABLE, client::VARIABLES[0], client::VARIABLES[1]];

/// The variable that names the file.
const FILE_VARIABLE: &str = "TIDECAST_CONFIG";

/// A parsed command line.
#[derive(Debug)]
pub(super) enum Invocation {
    Serve(LoadedSettings),
    CheckConfig(LoadedSettings),
    PrintConfig(LoadedSettings),
    Document(Document),
    Publish(Box<PublishArguments>),
    Tail(Box<TailArguments>),
    Bench(Box<BenchArguments>),
    Ticket(Box<TicketArguments>),
}

/// A document that `cargo xtask docs` writes to `docs/`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Document {
    Metrics,
    Reference,
    Sample,
}

/// The settings from all sources, with the warnings of loading them.
#[derive(Debug, Default)]
pub(super) struct LoadedSettings {
    pub(super) settings: Settings,
    pub(super) warnings: Vec<String>,
}

/// Parses the command line of this process. Without a command it is `serve`.
pub(super) fn parse() -> Result<Invocation, clap::Error> {
    let matches = matches(env::args_os())?;
    let Some((name, matches)) = matches.subcommand() else {
        let matches = serve_command("serve").try_get_matches_from(["serve"])?;
        return Ok(Invocation::Serve(load(&matches)));
    };
    Ok(match name {
        "check-config" => Invocation::CheckConfig(load(matches)),
        "print-config" => Invocation::PrintConfig(load(matches)),
        "document" => Invocation::Document(*matches.get_one("which").expect("the parser requires it")),
        "publish" => Invocation::Publish(Box::new(PublishArguments::from_arg_matches(matches)?)),
        "tail" => Invocation::Tail(Box::new(TailArguments::from_arg_matches(matches)?)),
        "ticket" => Invocation::Ticket(Box::new(TicketArguments::from_arg_matches(matches)?)),
        "bench" => Invocation::Bench(Box::new(BenchArguments::from_arg_matches(matches)?)),
        _ => Invocation::Serve(load(matches)),
    })
}

/// Parses arguments. The error for a channel without its flag suggests the flag.
fn matches(arguments: impl IntoIterator<Item = OsString>) -> Result<ArgMatches, clap::Error> {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let name = arguments.get(1).and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    // `publish` takes its first argument for the data, so that is the channel if there is another one.
    let first = arguments.get(2).and_then(|first| first.to_str()).filter(|first| !first.starts_with('-'));
    let first = first.unwrap_or("NAME").to_owned();
    command().try_get_matches_from(arguments).map_err(|mut error| {
        if let (ErrorKind::UnknownArgument, Some(ContextValue::String(given))) =
            (error.kind(), error.get(ContextKind::InvalidArg))
            && !given.starts_with('-')
            && let Some(channel) = match &*name {
                "tail" | "ticket" => Some(given),
                "publish" => Some(&first),
                _ => None,
            }
        {
            let hint = format!("to name a channel, use '--channel {channel}'");
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![hint.into()]));
        }
        error
    })
}

fn command() -> Command {
    let document = Command::new("document")
        .hide(true)
        .about("Print a document made from the declarations")
        .arg(Arg::new("which").required(true).value_parser(EnumValueParser::<Document>::new()));
    Command::new("tidecast")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Push events to browsers over server-sent events")
        .max_term_width(100)
        .after_help(
            "The default command is `serve`.\n\
             Exit status: 0 success; 1 failure; 2 the fate of a published event is unknown; 64 the command line or the \
             configuration is invalid.",
        )
        .subcommand(serve_command("serve").about("Run the hub"))
        .subcommand(
            PublishArguments::augment_args(Command::new("publish"))
                .about("Publish an event, or one for each line of standard input")
                .after_help(publish::AFTER_HELP),
        )
        .subcommand(
            TailArguments::augment_args(Command::new("tail"))
                .about("Follow channels in the terminal")
                .after_help(tail::AFTER_HELP),
        )
        .subcommand(
            BenchArguments::augment_args(Command::new("bench"))
                .about("Measure the time from publish to receive, and count lost events")
                .after_help(bench::AFTER_HELP),
        )
        .subcommand(
            TicketArguments::augment_args(Command::new("ticket"))
                .about("Sign a ticket, which opens streams of its channels for a limited time")
                .after_help(ticket::AFTER_HELP),
        )
        .subcommand(
            serve_command("check-config").about("Check the configuration of `serve`, and print every error in it"),
        )
        .subcommand(
            serve_command("print-config").about("Print the configuration of `serve`, with the source of each value"),
        )
        .subcommand(document)
}

fn serve_command(name: &'static str) -> Command {
    let file = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_hint(clap::ValueHint::FilePath)
        .help(format!("TOML file with settings [env: {FILE_VARIABLE}]"));
    Command::new(name).arg(file).args(OPTIONS.iter().map(argument)).after_help(
        "TIME is a whole number with `ms`, `s`, `m` or `h`, or 0; SIZE is bytes, or a whole number with `KiB`, `MiB` or \
         `GiB`.",
    )
}

/// Returns an option as an argument. Its value stays text: clap would stop at the first invalid one.
fn argument(option: &OptionSpec) -> Arg {
    let zero = match option.zero {
        Zero::Means(meaning) => format!("; 0: {meaning}"),
        Zero::Plain => String::new(),
        Zero::Invalid(why) => format!("; must not be 0: {why}"),
    };
    let help = format!("{}{zero} [env: {}] [default: {}]", option.doc, option.variable(), option.shown_default());
    let argument = Arg::new(option.key).long(option.key.replace('_', "-")).help(help);
    match option.kind {
        ValueKind::Switch => argument.action(ArgAction::SetTrue),
        kind if kind.is_list() => argument.action(ArgAction::Append).value_name(kind.placeholder()),
        _ => argument.action(ArgAction::Set).value_name(option.kind.placeholder()),
    }
}

/// Loads the settings from flags, then the environment, then the file, then the variables of Flask programs.
fn load(matches: &ArgMatches) -> LoadedSettings {
    let mut loaded = LoadedSettings::default();
    for option in OPTIONS {
        if matches.value_source(option.key) != Some(ValueSource::CommandLine) {
            continue;
        }
        let values = match option.kind {
            ValueKind::Switch => vec!["true".to_owned()],
            _ => matches.get_many::<String>(option.key).unwrap_or_default().cloned().collect(),
        };
        loaded.settings.add(option, Setting { values, source: SettingSource::Flag(option.flag()) });
    }
    let variables =
        env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    for name in loaded.settings.add_environment(variables, OTHER_VARIABLES) {
        loaded.warnings.push(format!("the variable {name} is unknown, and is ignored"));
    }
    let from_flag = matches.get_one::<String>("config").cloned().map(|file| (file, "--config"));
    let from_variable =
        || env::var(FILE_VARIABLE).ok().filter(|file| !file.is_empty()).map(|file| (file, FILE_VARIABLE));
    if let Some((file, source)) = from_flag.or_else(from_variable) {
        match fs::read_to_string(&file) {
            Ok(text) => loaded.settings.add_file(Path::new(&file), &text),
            Err(error) => {
                loaded.settings.add_error(format!("{source}: failed to read the configuration file {file}: {error}"));
            }
        }
    }
    // Last, so that every setting of the hub takes precedence.
    loaded.settings.add_flask(|name| env::var(name).ok());
    loaded
}

#[cfg(test)]
mod tests {
    use super::{command, matches};

    /// `tidecast tail news` and `tidecast publish news hello` said only that the argument was unexpected.
    #[test]
    fn the_error_for_a_channel_without_its_flag_suggests_the_flag() {
        for (arguments, hint) in [
            (&["tail", "news"][..], Some("'--channel news'")),
            (&["ticket", "news"], Some("'--channel news'")),
            (&["publish", "news", "hello"], Some("'--channel news'")),
            (&["publish", "--type", "t", "news", "hello"], Some("'--channel NAME'")),
            (&["tail", "--news"], None),
            (&["publish", "--news", "hello"], None),
            (&["serve", "news"], None),
        ] {
            let arguments = ["tidecast"].iter().chain(arguments).map(Into::into);
            let error = matches(arguments).unwrap_err().to_string();
            assert_eq!(error.contains("'--channel "), hint.is_some(), "{error}");
            assert!(error.contains(hint.unwrap_or_default()), "{error}");
        }
    }

    /// The rename of a type had also renamed a word of five help texts.
    #[test]
    fn help_texts_have_no_names_of_types() {
        const CAPITALISED: [&str; 4] = ["KiB", "MiB", "GiB", "PyPI"];

        let mut command = command();
        command.build();
        let mut helps = vec![command.render_long_help().to_string()];
        helps.extend(command.get_subcommands_mut().map(|command| command.render_long_help().to_string()));
        for help in &helps {
            for word in help.split(|c: char| !c.is_ascii_alphabetic()) {
                let is_camel =
                    word.as_bytes().windows(2).any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase());
                assert!(!is_camel || CAPITALISED.contains(&word), "{word} in {help}");
            }
        }
        assert_eq!(helps.iter().filter(|help| help.contains("\nExit status: 0 ")).count(), 4);
    }

    #[test]
    fn the_command_line_is_declared_without_contradictions() {
        command().debug_assert();
    }
}
