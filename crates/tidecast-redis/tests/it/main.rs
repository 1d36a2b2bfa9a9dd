//! The broker against real Redis servers.

mod rig;
