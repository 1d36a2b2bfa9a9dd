//! The command line.

use std::{env, ffi::OsString, fs, path::Path};

use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueEnum,
    builder::EnumValueParser,
    error::{ContextKind, ContextValue, ErrorKind},
    parser::ValueSource,
};

use crate::{
    cmd::{BenchArguments, PublishArguments, TailArguments, TicketArguments},
    config::{Kind, OPTIONS, OptionSpec, Setting, Settings, Source, Zero},
};

/// Variables of our prefix that are no setting of `serve`.
const OTHER_VARIABLES: &[&str] = &[FILE_VARIABLE, super::VARIABLES[0], super::VARIABLES[1]];

/// The variable that names the file.
const FILE_VARIABLE: &str = "TIDECAST_CONFIG";

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Invocation {
    Serve(LoadedSettings),
    CheckConfig(LoadedSettings),
    PrintConfig(LoadedSettings),
    Document(Document),
    Publish(Box<PublishArguments>),
    Tail(Box<TailArguments>),
    Bench(Box<BenchArguments>),
    Ticket(Box<TicketArguments>),
}

/// A document that `cargo xtask docs` writes.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Document {
    Metrics,
    Reference,
    Sample,
}

/// Settings from everywhere, and what was wrong on the way.
#[derive(Debug, Default)]
pub(crate) struct LoadedSettings {
    pub(crate) settings: Settings,
    pub(crate) mistakes: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

/// Reads the command line; without a command it is `serve` with what the environment says.
pub(crate) fn parse() -> Result<Invocation, clap::Error> {
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

/// Parses the arguments. A channel that is given without its flag gets a hint.
fn matches(arguments: impl IntoIterator<Item = OsString>) -> Result<ArgMatches, clap::Error> {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let takes_channels = arguments.get(1).is_some_and(|name| name == "tail" || name == "ticket");
    command().try_get_matches_from(arguments).map_err(|mut error| {
        if let (ErrorKind::UnknownArgument, Some(ContextValue::String(given))) =
            (error.kind(), error.get(ContextKind::InvalidArg))
            && takes_channels
            && !given.starts_with('-')
        {
            let hint = format!("to name a channel, use '--channel {given}'");
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![hint.into()]));
        }
        error
    })
}

fn command() -> Command {
    let document = Command::new("document")
        .hide(true)
        .about("Print a document that is made from the declarations")
        .arg(Arg::new("which").required(true).value_parser(EnumValueParser::<Document>::new()));
    Command::new("tidecast")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Pushes events to browsers over server-sent events")
        .max_term_width(100)
        .after_help(
            "Without a command it is `serve`.\n\
             Exit status: 0 done, 1 failed, 2 of something that was published it is unknown what became of it, \
             64 the command line or the configuration can't be followed.",
        )
        .subcommand(serve_command("serve").about("Run the hub"))
        .subcommand(
            PublishArguments::augment_args(Command::new("publish"))
                .about("Publish an event, or one for each line of standard input")
                .after_help(super::publish::AFTER_HELP),
        )
        .subcommand(
            TailArguments::augment_args(Command::new("tail"))
                .about("Follow channels in the terminal")
                .after_help(super::tail::AFTER_HELP),
        )
        .subcommand(
            BenchArguments::augment_args(Command::new("bench"))
                .about("Measure how long events take from publish to receive, and whether any is lost")
                .after_help(super::bench::AFTER_HELP),
        )
        .subcommand(
            TicketArguments::augment_args(Command::new("ticket"))
                .about("Sign a ticket, by which its bearer reads some channels for some time")
                .after_help(super::ticket::AFTER_HELP),
        )
        .subcommand(
            serve_command("check-config").about("Tell every mistake in what `serve` would be told, and do no more"),
        )
        .subcommand(
            serve_command("print-config").about("Print what `serve` would be told, and where each value is from"),
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

/// An option as an argument. It is parsed with all others and not by clap, which would stop at the first mistake.
fn argument(option: &OptionSpec) -> Arg {
    let zero = match option.zero {
        Zero::Means(meaning) => format!("; 0: {meaning}"),
        Zero::Plain | Zero::Invalid(_) => String::new(),
    };
    let help = format!("{}{zero} [env: {}] [default: {}]", option.doc, option.variable(), option.shown_default());
    let argument = Arg::new(option.key).long(option.key.replace('_', "-")).help(help);
    match option.kind {
        Kind::Switch => argument.action(ArgAction::SetTrue),
        kind if kind.is_list() => argument.action(ArgAction::Append).value_name(kind.placeholder()),
        _ => argument.action(ArgAction::Set).value_name(option.kind.placeholder()),
    }
}

/// Gathers the settings: flags, then the environment, then the file, then what Flask programs are told.
fn load(matches: &ArgMatches) -> LoadedSettings {
    let mut loaded = LoadedSettings::default();
    for option in OPTIONS {
        if matches.value_source(option.key) != Some(ValueSource::CommandLine) {
            continue;
        }
        let values = match option.kind {
            Kind::Switch => vec!["true".to_owned()],
            _ => matches.get_many::<String>(option.key).unwrap_or_default().cloned().collect(),
        };
        loaded.settings.add(option, Setting { values, source: Source::Flag(option.flag()) });
    }
    let variables =
        env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    for name in loaded.settings.add_environment(variables, OTHER_VARIABLES) {
        loaded.warnings.push(format!("the variable {name} says nothing to this program"));
    }
    let from_variable = || env::var(FILE_VARIABLE).ok().filter(|file| !file.is_empty());
    if let Some(file) = matches.get_one::<String>("config").cloned().or_else(from_variable) {
        match fs::read_to_string(&file) {
            Ok(text) => loaded.mistakes.extend(loaded.settings.add_file(Path::new(&file), &text)),
            Err(error) => loaded.mistakes.push(format!("failed to read the configuration file {file}: {error}")),
        }
    }
    // Last: what is meant for Flask programs says something to us only where nothing that is meant for us does.
    loaded.settings.add_flask(|name| env::var(name).ok());
    loaded
}

#[cfg(test)]
mod tests {
    use super::{command, matches};

    /// `tidecast tail news` said only that the argument was unexpected.
    #[test]
    fn a_channel_without_its_flag_gets_a_hint() {
        for (arguments, hints) in [
            (["tidecast", "tail", "news"], true),
            (["tidecast", "ticket", "news"], true),
            (["tidecast", "tail", "--news"], false),
            (["tidecast", "serve", "news"], false),
        ] {
            let error = matches(arguments.map(Into::into)).unwrap_err().to_string();
            assert_eq!(error.contains("--channel news"), hints, "{error}");
        }
    }

    #[test]
    fn the_command_line_is_declared_without_contradictions() {
        command().debug_assert();
    }
}
