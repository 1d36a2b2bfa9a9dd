#![doc = include_str!("../README.md")]
#![allow(clippy::missing_panics_doc, reason = "every function here panics if a test's preparation fails")]

pub mod redis;
