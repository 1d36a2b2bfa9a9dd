//! The scripts on a real server.
