//! Limits on the streams of the hub.

pub(crate) mod admission;
