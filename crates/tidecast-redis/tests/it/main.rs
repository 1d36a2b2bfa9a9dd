//! The broker against real Redis servers.

// Until the broker's tests are here, which use all of it.
#[allow(dead_code)]
mod rig;
