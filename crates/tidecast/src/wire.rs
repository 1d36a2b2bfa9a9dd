//! The bytes of an event stream, as section 9.2, "Server-sent events", of the WHATWG HTML standard defines them.
//!
//! The encoder writes frames and the decoder reads streams. Neither knows channels, logs or HTTP.

mod control;
mod decode;
mod encode;
pub(crate) mod frame;
pub(crate) mod json;
pub(crate) mod reset;

pub(crate) use self::encode::{frame_len_above, put_id_end};
pub use self::{
    control::{CONTENT_TYPE, FirstBlock, IdCommit, KEEP_ALIVE, final_block},
    decode::{DECODER_BYTES_MAX, Decoder, Item, Message},
};
