//! `tidecast publish`: an event, or one for each line of standard input.
//!
//! Each event has an idempotency key, made of a random name for the run and the line number, so that a batch can be sent
//! again to a hub that may have accepted it. [`input`] makes entries of lines, [`delivery`] sends each batch, [`outcome`]
//! interprets the responses, [`counts`] counts the lines, [`progress`] shows the progress.

mod counts;
mod delivery;
mod entry;
mod input;
mod outcome;
mod progress;

use std::{
    io::{Write, stdout},
    time::Duration,
};

use tokio::sync::mpsc;

use self::{
    counts::LineCounts,
    delivery::{BatchDelivery, Stopped},
    entry::{BatchEntry, EventTemplate, Key},
    input::LineFormat,
    progress::ProgressLine,
};
use super::{
    client::HubArguments,
    exit::{CommandExit, usage_error},
};
use crate::{config::units::parse_duration, observe::terminal::print_error};

/// The arguments of `publish`.
#[derive(Debug, clap::Args)]
pub(super) struct PublishArguments {
    #[command(flatten)]
    hub: HubArguments,
    /// Channel to publish to; with --ndjson, of events that name no channel
    #[arg(long, value_name = "NAME", default_value = "sse")]
    channel: String,
    /// Type of the event, or of every event
    #[arg(long = "type", value_name = "TYPE", conflicts_with = "ndjson")]
    event_type: Option<String>,
    /// Id of the event; the default is its position
    #[arg(long, value_name = "ID", conflicts_with = "ndjson")]
    id: Option<String>,
    /// Time after which browsers reconnect, such as `3s`; sent with the event
    #[arg(long, value_name = "TIME", value_parser = parse_duration, conflicts_with = "ndjson")]
    retry: Option<Duration>,
    /// Idempotency key, under which the event is published once however often this is run; with `-`, the prefix of each
    /// line's key
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Read each line as a JSON event, as `POST /publish` takes it: {"data": …, "type": …}
    #[arg(long)]
    ndjson: bool,
    /// Time after which to give up on a hub that cannot be reached
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "60s")]
    give_up_after: Duration,
    /// Data of the event; `-` reads an event per line of standard input
    #[arg(value_name = "DATA")]
    data: String,
}

/// The end of the help of `publish`.
pub(super) const AFTER_HELP: &str = "\
    A byte order mark at the beginning of standard input is skipped.\n\n\
    Exit status: 0 everything was published; 1 some lines were not, and are named; 2 the fate of some lines is unknown, \
    because the hub failed while it had them, and they are named; 64 the command line is invalid; 130 interrupted.";

/// Publishes the event, or the lines of standard input.
pub(super) async fn run(mut arguments: PublishArguments) -> anyhow::Result<CommandExit> {
    if let Err(error) = arguments.hub.check() {
        return usage_error(error);
    }
    let lines = arguments.data == "-";
    if arguments.ndjson && !lines {
        return usage_error("--ndjson reads standard input: write `-` in place of the data");
    }
    if arguments.id.is_some() && lines {
        return usage_error("--id would give every line the same id; with --ndjson each event can have its own");
    }
    let format = if arguments.ndjson { LineFormat::Ndjson } else { LineFormat::Text };
    let key = arguments.idempotency_key.unwrap_or_else(|| format!("{:016x}", fastrand::u64(..)));
    let template = EventTemplate {
        channel: arguments.channel,
        event_type: arguments.event_type,
        id: arguments.id,
        retry: arguments.retry,
        key: if lines { Key::Prefix(key) } else { Key::Fixed(key) },
    };
    if let Err(error) = template.check() {
        return usage_error(error);
    }

    let mut delivery = BatchDelivery::new(arguments.hub, arguments.give_up_after);
    let mut progress = ProgressLine::new(lines);
    // An interrupt from here on ends with the counts.
    let interrupted = async { drop(tokio::signal::ctrl_c().await) };
    let stopped = tokio::select! {
        stopped = async {
            if lines {
                let mut batches = input::read(template, format);
                publish_all(&mut delivery, &mut batches, &mut progress).await
            } else {
                let entry = template.entry(1, &arguments.data).map_err(anyhow::Error::msg)?;
                delivery.counts.read += 1;
                delivery.load(vec![entry]);
                Ok(delivery.deliver().await.err())
            }
        } => stopped?,
        () = interrupted => Some(Stopped::Interrupted),
    };
    progress.clear();
    delivery.abandon();
    if let Some(stopped) = &stopped {
        print_error(format_args!("error: {stopped}"));
    }
    finish(&delivery.counts, lines, stopped.as_ref())
}

async fn publish_all(
    delivery: &mut BatchDelivery,
    batches: &mut mpsc::Receiver<input::LineBatch>,
    progress: &mut ProgressLine,
) -> anyhow::Result<Option<Stopped>> {
    while let Some(batch) = batches.recv().await {
        delivery.counts.read += batch.lines;
        for rejected in batch.rejected {
            progress.clear();
            delivery.counts.reject(rejected.line, &rejected.why);
        }
        delivery.load(batch.entries);
        if let Err(stopped) = delivery.deliver().await {
            return Ok(Some(stopped));
        }
        if let Some(error) = batch.error {
            return Err(anyhow::Error::new(error).context("failed to read standard input"));
        }
        progress.show(delivery.counts.published, batch.bytes);
    }
    Ok(None)
}

/// Prints the counts, and returns the exit status that they mean.
fn finish(counts: &LineCounts, lines: bool, stopped: Option<&Stopped>) -> anyhow::Result<CommandExit> {
    if let Some(unknown) = counts.unknown_lines() {
        let what = if lines { unknown } else { "the event".to_owned() };
        print_error(format_args!(
            "warning: fate unknown of {what}: the hub failed or became unreachable while it had them; they may be missing \
             or published twice",
        ));
    }
    if lines {
        writeln!(stdout(), "{counts}").or_else(unless_reader_has_gone)?;
    }
    Ok(match stopped {
        _ if counts.unknown() > 0 => CommandExit::Unknown,
        Some(Stopped::Interrupted) => CommandExit::Interrupted,
        Some(_) => CommandExit::Failed,
        None if counts.rejected > 0 => CommandExit::Failed,
        None => CommandExit::Done,
    })
}

fn unless_reader_has_gone(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}
