//! The broker against real Redis servers.

mod conformance;
mod faults;
mod rig;
mod two_nodes;
