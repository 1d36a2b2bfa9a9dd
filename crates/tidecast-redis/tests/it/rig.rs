//! Real servers, started by the tests, and nodes on them.

pub(crate) mod cluster;
pub(crate) mod node;
pub(crate) mod sentinel;
pub(crate) mod server;
