//! Streams from the client's side. Every test holds with and without a reactor.

mod bad_stream;
mod burst;
mod bytes;
mod fleet;
mod half_close;
mod head;
mod lifetime;
mod limits;
mod room;
mod stall;
mod stop;
mod tickets;
