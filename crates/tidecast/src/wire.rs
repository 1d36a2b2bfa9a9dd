//! The bytes of an event stream, as the WHATWG HTML standard has them in section 9.2, "Server-sent events".
//!
//! The encoder writes frames, the decoder reads streams; neither knows channels, logs or HTTP.

mod control;
mod decode;
mod encode;
mod frame;

pub use self::{
    control::{CONTENT_TYPE, FirstBlock, IdCommit, KEEP_ALIVE, final_block},
    decode::{DECODER_BYTES_MAX, Decoder, Item, Message},
    frame::{EncodedEvent, Frame},
};
pub(crate) use self::{
    control::{missed_frame, reset_frame},
    encode::{encode, encoded_len, put_id_end},
    frame::{put, put_end},
};
