//! Responds to requests: the router, the routes, and their shared parts.

pub(crate) mod body;
pub(crate) mod body_drain;
pub(crate) mod cors;
pub(crate) mod parameters;
pub(crate) mod publish;
pub(crate) mod response;
pub(crate) mod router;
pub(crate) mod routes;
