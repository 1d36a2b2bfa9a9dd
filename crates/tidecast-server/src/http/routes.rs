//! The handlers, a file for each group of routes.

pub(crate) mod channels;
pub(crate) mod console;
pub(crate) mod health;
mod past_events;
