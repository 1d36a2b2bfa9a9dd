//! `tidecast tail`: follows channels in the terminal, as a page's `EventSource` would.
//!
//! [`follow`] reads the stream of one connection, [`channel_finder`] finds the channel of an event, [`print`] writes it. This
//! file decides when to reconnect.

mod channel_finder;
mod follow;
mod print;
mod stdout;

use std::{io, io::stderr, time::Duration};

use anyhow::Context;
use tidecast::{
    Channel,
    limits::{LAST_MAX, SUBSCRIPTION_CHANNELS_MAX},
};
use tokio::time::sleep;

use self::{
    follow::Follower,
    print::{OutputFormat, Printer},
};
use super::{
    client::{HubArguments, backoff::ClientBackoff},
    exit::{CommandExit, usage_error},
    style::{Emphasis, Style, sanitize},
};
use crate::observe::terminal::print_error;

/// The arguments of `tail`.
#[derive(Debug, clap::Args)]
pub(super) struct TailArguments {
    #[command(flatten)]
    hub: HubArguments,
    /// Channel to follow; may be repeated
    #[arg(long = "channel", value_name = "NAME", default_value = "sse")]
    channels: Vec<String>,
    /// Begin with the newest N events of each channel
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=LAST_MAX as u64))]
    last: Option<u64>,
    /// Print a JSON object per event: {"channel", "id", "type", "data"}
    #[arg(long)]
    json: bool,
}

/// The end of the help of `tail`.
pub(super) const AFTER_HELP: &str = "\
    After a lost connection it reconnects and resumes. If events can no longer be had, it prints an event of type \
    stream-reset.\n\n\
    Exit status: 0 the reader of its output has gone; 1 the first connection failed, or the hub refused; 64 the command \
    line is invalid. Ctrl-C ends it as any program (130 in a shell).";

/// Maximum delay before a reconnect.
const DELAY_MAX: Duration = Duration::from_secs(30);

/// The end of one connection.
#[derive(Debug)]
enum StreamEnd {
    /// The stream was lost, or the hub ended it; a reconnect may help.
    Lost(String),
    /// The hub refused; a reconnect does not help.
    Rejected(String),
    /// The reader of the output has gone.
    OutputClosed,
}

/// Follows the channels until the reader of the output has gone.
pub(super) async fn run(mut arguments: TailArguments) -> anyhow::Result<CommandExit> {
    if let Err(error) = arguments.hub.check() {
        return usage_error(error);
    }
    let mut channels = Vec::new();
    for name in &arguments.channels {
        let channel = match Channel::new(name) {
            Ok(channel) => channel.to_string(),
            Err(error) => return usage_error(error),
        };
        if !channels.contains(&channel) {
            channels.push(channel);
        }
    }
    if channels.len() > SUBSCRIPTION_CHANNELS_MAX {
        let count = channels.len();
        return usage_error(format!(
            "{count} channels on one connection; at most {SUBSCRIPTION_CHANNELS_MAX} are allowed"
        ));
    }
    let format = if arguments.json { OutputFormat::Json } else { OutputFormat::Text };
    let mut printer = Printer::new(format, channels.len());
    let follower = Follower::new(arguments.hub, channels, arguments.last);
    tokio::select! {
        exit = follow(follower, &mut printer) => exit,
        // So `tail | head -1` ends after the first event, not after the second.
        () = stdout::output_closed() => Ok(CommandExit::Done),
    }
}

async fn follow(mut follower: Follower, printer: &mut Printer) -> anyhow::Result<CommandExit> {
    let style = Style::of(&stderr());
    let mut backoff = None;
    loop {
        let end = follower.connection(printer).await;
        if follower.has_read() {
            // The hub responded, so begin again with the delay that it requests.
            backoff = None;
        }
        let why = match end.context("failed to write")? {
            StreamEnd::OutputClosed => return Ok(CommandExit::Done),
            StreamEnd::Rejected(why) => anyhow::bail!(why),
            // The address is probably wrong, so fail at once.
            StreamEnd::Lost(why) if !follower.was_ever_connected() => anyhow::bail!(why),
            StreamEnd::Lost(why) => why,
        };
        let first = follower.retry();
        let delay = backoff.get_or_insert_with(|| ClientBackoff::new(first, DELAY_MAX.max(first))).next_delay();
        let notice = format!("-- {}; connecting again in {:.1} s", sanitize(&why), delay.as_secs_f64());
        print_error(style.paint(Emphasis::Notice, notice));
        sleep(delay).await;
    }
}

/// Returns the end of the connection that a failed write means, if it means one.
fn end_of_write(result: io::Result<()>) -> io::Result<Option<StreamEnd>> {
    match result {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Some(StreamEnd::OutputClosed)),
        Err(error) => Err(error),
    }
}
