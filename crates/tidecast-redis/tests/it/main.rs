//! The broker against real Redis servers.
