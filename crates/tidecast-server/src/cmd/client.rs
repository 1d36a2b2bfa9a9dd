//! What the commands that speak to a hub share.

pub(crate) mod address;
pub(crate) mod backoff;
pub(crate) mod connection;
pub(crate) mod problem;
