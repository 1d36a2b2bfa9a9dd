//! `tidecast publish`: an event, or one for each line of standard input.
//!
//! Each event gets an idempotency key of its own, a random name of this run and its line number, so that a batch can be
//! sent again to a hub that may have taken it. [`input`] makes entries of lines, [`delivery`] gets each batch to the hub,
//! [`outcome`] understands its answers, [`counts`] counts, [`progress`] shows how far it is.

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
    delivery::{Delivery, Stopped},
    entry::{BatchEntry, EventTemplate},
    progress::Progress,
};
use super::{Exit, HubArguments, usage_error};
use crate::config::units::parse_duration;

/// What `publish` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct PublishArguments {
    #[command(flatten)]
    hub: HubArguments,
    /// Channel to publish to; with --ndjson, that of the events that name none
    #[arg(long, value_name = "NAME", default_value = "sse")]
    channel: String,
    /// Type of the event, or of each
    #[arg(long = "type", value_name = "TYPE", conflicts_with = "ndjson")]
    event_type: Option<String>,
    /// Id of the event, instead of its position
    #[arg(long, value_name = "ID", conflicts_with = "ndjson")]
    id: Option<String>,
    /// Time after which browsers connect again, such as `3s`, told with the event
    #[arg(long, value_name = "TIME", value_parser = parse_duration, conflicts_with = "ndjson")]
    retry: Option<Duration>,
    /// Key under which the event is published once, however often this is run; with `-`, what each line's key begins
    /// with
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Take each line as a whole event, as `POST /publish` takes it: {"data": …, "type": …}
    #[arg(long)]
    ndjson: bool,
    /// How long a hub that can't be reached is tried
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "60s")]
    give_up_after: Duration,
    /// The event's data; `-`: an event per line of standard input
    #[arg(value_name = "DATA")]
    data: String,
}

/// What the help of `publish` ends with.
pub(crate) const AFTER_HELP: &str = "\
    A byte order mark at the beginning of standard input is skipped.\n\n\
    Exit status: 0 published; 1 something was not, and was named; 2 of some lines it is unknown whether they are there \
    once or twice, because a hub died while it had them (they are named); 64 the command line can't be followed; 130 \
    interrupted.";

/// Publishes what it is told to.
pub(crate) async fn run(mut arguments: PublishArguments) -> anyhow::Result<Exit> {
    if let Err(mistake) = arguments.hub.check() {
        return usage_error(mistake);
    }
    let lines = arguments.data == "-";
    if arguments.ndjson && !lines {
        return usage_error("--ndjson is for standard input: write `-` in the place of the data");
    }
    if arguments.id.is_some() && lines {
        return usage_error("--id would give every line the same id; with --ndjson each event can have its own");
    }
    let template = EventTemplate {
        channel: arguments.channel,
        event_type: arguments.event_type,
        id: arguments.id,
        retry: arguments.retry,
        key: arguments.idempotency_key.unwrap_or_else(|| format!("{:016x}", fastrand::u64(..))),
        numbered: lines,
    };
    if let Err(mistake) = template.check() {
        return usage_error(mistake);
    }

    let mut delivery = Delivery::new(arguments.hub, arguments.give_up_after);
    let mut progress = Progress::new(lines);
    // Listened to from here on, so that who interrupts is told what was done.
    let interrupted = async { drop(tokio::signal::ctrl_c().await) };
    let stopped = tokio::select! {
        stopped = async {
            if lines {
                let mut batches = input::read(template, arguments.ndjson);
                publish_all(&mut delivery, &mut batches, &mut progress).await
            } else {
                let entry = template.entry(1, &arguments.data).map_err(anyhow::Error::msg)?;
                delivery.counts.read += 1;
                delivery.put(vec![entry]);
                Ok(delivery.deliver().await.err())
            }
        } => stopped?,
        () = interrupted => Some(Stopped::Interrupted),
    };
    progress.clear();
    delivery.abandon();
    if let Some(stopped) = &stopped {
        crate::observe::terminal::print_error(format_args!("error: {stopped}"));
    }
    finish(&delivery.counts, lines, stopped.as_ref())
}

async fn publish_all(
    delivery: &mut Delivery,
    batches: &mut mpsc::Receiver<input::Batch>,
    progress: &mut Progress,
) -> anyhow::Result<Option<Stopped>> {
    while let Some(batch) = batches.recv().await {
        delivery.counts.read += batch.lines;
        for rejected in batch.rejected {
            progress.clear();
            delivery.counts.reject(rejected.line, &rejected.why);
        }
        delivery.put(batch.entries);
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

/// Prints the counts.
fn finish(counts: &LineCounts, lines: bool, stopped: Option<&Stopped>) -> anyhow::Result<Exit> {
    if let Some(unknown) = counts.unknown_lines() {
        let what = if lines { unknown } else { "the event".to_owned() };
        crate::observe::terminal::print_error(format_args!(
            "warning: fate unknown of {what}: the hub died, or could not be heard any more, while it had them; they may \
             be missing or there twice",
        ));
    }
    if lines {
        writeln!(stdout(), "{counts}").or_else(unless_nobody_reads)?;
    }
    Ok(match stopped {
        _ if counts.unknown() > 0 => Exit::Unknown,
        Some(Stopped::Interrupted) => Exit::Interrupted,
        Some(_) => Exit::Failed,
        None if counts.rejected > 0 => Exit::Failed,
        None => Exit::Done,
    })
}

fn unless_nobody_reads(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}
