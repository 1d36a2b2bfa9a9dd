//! Real servers, started by the tests, and nodes on them.

pub(crate) mod node;
pub(crate) mod server;
