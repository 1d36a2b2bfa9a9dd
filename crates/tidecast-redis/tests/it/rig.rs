//! Real servers, started by the tests.

pub(crate) mod cluster;
pub(crate) mod server;
