#![doc = include_str!("../README.md")]

mod query;
mod resume_from;
mod router;

mod body;
mod deadline;
mod handoff;
mod lazy_timer;
mod options;
mod response;
mod stream;

mod problem;

pub use crate::{
    options::{StreamOptions, close_on, with_shutdown_timeout},
    problem::Problem,
    response::{Sse, retry_later},
    resume_from::ResumeFrom,
    router::{StreamRequest, Streams, router},
};

/// The parts that Tidecast's own server needs. They may change in any release.
#[doc(hidden)]
pub mod internals {
    pub use crate::{
        deadline::{Deadline, EndCause},
        handoff::{StreamHandoff, TakenStream},
        lazy_timer::LazyTimer,
        options::{FULL_RETRY, jitter},
        response::sweep_until_closed,
    };

    pub mod query {
        pub use crate::query::{PAIRS_MAX, channels, is_channel_alias, names, pairs, parse_last, quoted, values};
    }
}

/// Compiles the example in the repository's README.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod repository_readme {}

/// Compiles the examples of the page on publishers.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/publisher.md")]
mod publisher_page {}
