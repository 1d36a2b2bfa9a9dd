//! What a client sees of streams. All of it holds with and without a reactor.

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
