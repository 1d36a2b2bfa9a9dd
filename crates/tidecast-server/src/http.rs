//! Answers requests: the router, the routes, and what they share.

pub(crate) mod body;
pub(crate) mod body_drain;
pub(crate) mod cors;
pub(crate) mod parameters;
pub(crate) mod publish;
pub(crate) mod router;
pub(crate) mod routes;
