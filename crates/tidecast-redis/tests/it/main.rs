//! The broker against real Redis servers.

mod conformance;
mod failover;
mod faults;
mod reshard;
mod rig;
mod two_nodes;
