//! `POST /publish`: parses the request in each of its forms, publishes, and responds.

pub(crate) mod fast_path;
pub(crate) mod handler;
pub(crate) mod item;
mod json;
mod pairs;
pub(crate) mod parse;

/// The path to publish to.
pub(crate) const PATH: &str = "/publish";
