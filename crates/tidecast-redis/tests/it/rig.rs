//! Real servers, started by the tests.

pub(crate) mod sentinel;
pub(crate) mod server;
