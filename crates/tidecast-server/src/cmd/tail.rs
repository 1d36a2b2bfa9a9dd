//! `tidecast tail`: follows channels in the terminal, as a page's `EventSource` would.
//!
//! [`follow`] reads one connection's stream, [`channel_finder`] tells which of several channels an event is of, [`print`] writes it
//! down. Here is what holds it together: when to connect again, and from where on.

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

use self::{follow::Follower, print::Printer};
use super::{
    Exit, HubArguments,
    client::backoff::Backoff,
    style::{Emphasis, Style, sanitize},
    usage_error,
};

/// What `tail` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct TailArguments {
    #[command(flatten)]
    hub: HubArguments,
    /// Channel to follow; may be given more than once
    #[arg(long = "channel", value_name = "NAME", default_value = "sse")]
    channels: Vec<String>,
    /// Begin with the newest N events of each channel
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=LAST_MAX as u64))]
    last: Option<u64>,
    /// Print an object per line: {"channel", "id", "type", "data"}
    #[arg(long)]
    json: bool,
}

/// What the help of `tail` ends with.
pub(crate) const AFTER_HELP: &str = "\
    It connects again after a lost connection and goes on where it was; events that can't be had any more are told by an \
    event of type stream-reset.\n\n\
    Exit status: 0 nobody reads its output any more; 1 the hub was not there at first, or refused; 64 the command line \
    can't be followed. Ctrl-C ends it as it ends any program (130 in a shell).";

/// The longest pause before it connects again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How one connection ended.
#[derive(Debug)]
enum StreamEnd {
    /// The hub ended the stream, or it was lost; what may help is to connect again.
    Lost(String),
    /// The hub wants no more of it.
    Rejected(String),
    /// Nobody reads what is written.
    OutputClosed,
}

/// Follows until nobody reads any more.
pub(crate) async fn run(mut arguments: TailArguments) -> anyhow::Result<Exit> {
    if let Err(mistake) = arguments.hub.check() {
        return usage_error(mistake);
    }
    let mut channels = Vec::new();
    for name in &arguments.channels {
        let channel = match Channel::new(name) {
            Ok(channel) => channel.to_string(),
            Err(mistake) => return usage_error(mistake),
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
    let mut printer = Printer::new(arguments.json, channels.len() > 1);
    let follower = Follower::new(arguments.hub, channels, arguments.last);
    tokio::select! {
        exit = follow(follower, &mut printer) => exit,
        // `tail | head -1` ends with the first event, not with the second one.
        () = stdout::output_closed() => Ok(Exit::Done),
    }
}

async fn follow(mut follower: Follower, printer: &mut Printer) -> anyhow::Result<Exit> {
    let style = Style::of(&stderr());
    let mut backoff = None;
    loop {
        let end = follower.connection(printer).await;
        if follower.has_read() {
            // The hub was there: begin again with the pause that it wishes.
            backoff = None;
        }
        let why = match end.context("failed to write")? {
            StreamEnd::OutputClosed => return Ok(Exit::Done),
            StreamEnd::Rejected(why) => anyhow::bail!(why),
            // Who mistypes an address does not want to wait.
            StreamEnd::Lost(why) if !follower.was_ever_connected() => anyhow::bail!(why),
            StreamEnd::Lost(why) => why,
        };
        let first = follower.retry();
        let pause = backoff.get_or_insert_with(|| Backoff::new(first, LONGEST_PAUSE.max(first))).next_delay();
        let notice = format!("-- {}; connecting again in {:.1} s", sanitize(&why), pause.as_secs_f64());
        crate::observe::terminal::print_error(style.paint(Emphasis::Notice, notice));
        sleep(pause).await;
    }
}

/// What a failed write means.
fn written(result: io::Result<()>) -> io::Result<Option<StreamEnd>> {
    match result {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Some(StreamEnd::OutputClosed)),
        Err(error) => Err(error),
    }
}
