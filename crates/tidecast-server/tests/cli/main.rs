//! The commands that connect to a hub, as real processes: `publish`, `tail`, `bench` and `ticket`.
//!
//! No test waits for a fixed time: each waits for a condition.

mod fake_hub;
mod log;
mod restart;
mod ticket;
mod usage;

use serde_json::Value;
use tidecast_test::{HubProcess, Program, wait_for};
use tokio::runtime::Builder;

const TIDECAST: Program = Program::new(env!("CARGO_BIN_EXE_tidecast"));

/// Returns the body of a response as JSON, or `null` if it is not JSON.
fn get_json(hub: &HubProcess, target: &str) -> Value {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    serde_json::from_slice(&runtime.block_on(hub.get(target)).body).unwrap_or_default()
}

/// Waits until a channel has this many subscribers.
fn until_subscribed(hub: &HubProcess, channel: &str, subscribers: u64) {
    wait_for("subscribers", || {
        let shown = get_json(hub, &format!("/channels/{channel}"));
        (shown["subscribers"].as_u64() == Some(subscribers)).then_some(())
    });
}
