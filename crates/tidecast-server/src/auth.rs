//! Decides which requests may pass: the publish key, tickets, the names of hosts and origins.

pub(crate) mod access;
mod guess_counter;
pub(crate) mod pattern;
pub(crate) mod refusal;
pub(crate) mod ticket;
pub(crate) mod ticket_layer;
