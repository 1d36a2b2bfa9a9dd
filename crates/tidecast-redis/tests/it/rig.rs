//! Real servers, started by the tests.

pub(crate) mod server;
