#![doc = include_str!("../README.md")]

mod event_source;
mod event_stream;
pub mod fuzz;
mod http;
mod hub;
mod process;
mod program;
pub mod redis;
mod wait;

pub use self::{
    event_source::EventSource,
    event_stream::{BROWSER_HEADERS, EventStream},
    http::{HttpConnection, HttpResponse, ResponseHead, percent_encode, request, request_bytes},
    hub::HubProcess,
    process::{Finished, Process, Signal},
    program::{EXTRA_SERVE_ARGUMENTS, Program},
    wait::{PATIENCE, eventually, free_port, soak_factor, wait_for, wait_until, within},
};
