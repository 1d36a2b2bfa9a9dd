//! Real servers, started by the tests, and nodes on them.

pub(crate) mod node;

pub(crate) use tidecast_test::redis::{cluster, sentinel, server};
