#![doc = include_str!("../README.md")]

mod router;

mod last_event_id;
pub mod query;

mod body;
mod handover;
mod options;
mod response;
mod source;

mod problem;

pub use crate::{
    handover::{Handover, TakenStream},
    last_event_id::ResumeFrom,
    options::{FULL_RETRY, StreamOptions, close_on, end_with, random_between},
    problem::Problem,
    response::{Sse, come_back_in},
    router::{StreamRequest, Streams, router},
};

/// So that the example in the repository's README is compiled too.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod repository_readme {}

/// The same for the page on publishers.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/publisher.md")]
mod publisher_page {}
