//! `tidecast bench`: a first figure of a set-up.

use super::{Ended, HubArguments};

/// What `bench` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArguments {
    #[command(flatten)]
    hub: HubArguments,
}

pub(crate) const AFTER_HELP: &str = "";

pub(crate) async fn run(_arguments: BenchArguments) -> anyhow::Result<Ended> {
    Ok(Ended::Done)
}
