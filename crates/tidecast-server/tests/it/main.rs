//! The hub from outside: the real program, real sockets, one file per topic.
//!
//! What a file tests of other crates, such as the wire, is tested there; here it is that the program keeps what they
//! promise. No test depends on how fast the machine is.

mod support;

mod head;
