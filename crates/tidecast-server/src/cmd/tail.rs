//! `tidecast tail`: follows channels in the terminal, as a page's `EventSource` would.
//!
//! [`follow`] reads one connection's stream, [`origin`] tells which of several channels an event is of, [`show`] writes it
//! down. Here is what holds it together: when to connect again, and from where on.

mod follow;
mod origin;
mod show;
mod stdout;

use std::{io, io::stderr, time::Duration};

use anyhow::Context;
use tidecast::{
    Channel,
    limits::{LAST_MAX, SUBSCRIPTION_CHANNELS_MAX},
};
use tokio::time::sleep;

use self::{follow::Follower, show::Shown};
use super::{
    Ended, HubArguments,
    client::patience::Patience,
    misused,
    style::{Ink, Style, harmless},
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
enum Parted {
    /// The hub ended the stream, or it was lost; what may help is to connect again.
    Lost(String),
    /// The hub wants no more of it.
    Refused(String),
    /// Nobody reads what is written.
    NobodyReads,
}

/// Follows until nobody reads any more.
pub(crate) async fn run(mut arguments: TailArguments) -> anyhow::Result<Ended> {
    if let Err(mistake) = arguments.hub.check() {
        return misused(mistake);
    }
    let mut channels = Vec::new();
    for name in &arguments.channels {
        let channel = match Channel::new(name) {
            Ok(channel) => channel.to_string(),
            Err(mistake) => return misused(mistake),
        };
        if !channels.contains(&channel) {
            channels.push(channel);
        }
    }
    if channels.len() > SUBSCRIPTION_CHANNELS_MAX {
        let count = channels.len();
        return misused(format!("{count} channels on one connection; at most {SUBSCRIPTION_CHANNELS_MAX} are allowed"));
    }
    let mut shown = Shown::new(arguments.json, channels.len() > 1);
    let follower = Follower::new(arguments.hub, channels, arguments.last);
    tokio::select! {
        ended = follow(follower, &mut shown) => ended,
        // `tail | head -1` ends with the first event, not with the second one.
        () = stdout::nobody_reads() => Ok(Ended::Done),
    }
}

async fn follow(mut follower: Follower, shown: &mut Shown) -> anyhow::Result<Ended> {
    let style = Style::of(&stderr());
    let mut patience = None;
    loop {
        let parted = follower.connection(shown).await;
        if follower.has_read() {
            // The hub was there: begin again with the pause that it wishes.
            patience = None;
        }
        let why = match parted.context("failed to write")? {
            Parted::NobodyReads => return Ok(Ended::Done),
            Parted::Refused(why) => anyhow::bail!(why),
            // Who mistypes an address does not want to wait.
            Parted::Lost(why) if !follower.was_ever_connected() => anyhow::bail!(why),
            Parted::Lost(why) => why,
        };
        let first = follower.retry();
        let pause = patience.get_or_insert_with(|| Patience::new(first, LONGEST_PAUSE.max(first))).pause();
        let notice = format!("-- {}; connecting again in {:.1} s", harmless(&why), pause.as_secs_f64());
        crate::observe::say::complain(style.paint(Ink::Notice, notice));
        sleep(pause).await;
    }
}

/// What a failed write means.
fn written(result: io::Result<()>) -> io::Result<Option<Parted>> {
    match result {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Some(Parted::NobodyReads)),
        Err(error) => Err(error),
    }
}
