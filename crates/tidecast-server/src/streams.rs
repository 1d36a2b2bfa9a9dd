//! Streams as the hub counts them.

pub(crate) mod admission;
