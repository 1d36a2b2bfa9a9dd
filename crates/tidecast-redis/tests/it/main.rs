//! The broker against real Redis servers.

mod agreement;
mod away;
mod conformance;
mod control;
mod ending;
mod failover;
mod faults;
mod forged;
mod gaps;
mod many;
mod node;
mod opening;
mod own_ids;
mod refusals;
mod reshard;
mod silent;
mod two_nodes;
