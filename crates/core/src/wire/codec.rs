//! Types to bytes and back: the only file that knows bincode.
//!
//! bincode 2.0.1 has no maintainer any more; to replace it, change this file and the golden
//! bytes in `tests/it/wire.rs`, and nothing else. Decoding is bounded twice: by the length
//! of the input, which the framing keeps below [`MAX_FRAME_BYTES`], and by bincode's own
//! limit, which stops an allocation that a claimed length would cause.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits::MAX_FRAME_BYTES;

/// Why bytes and a value do not match.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The peer sent bytes that are not a value of the expected type.
    #[error("undecodable frame: {0}")]
    Undecodable(String),
    /// The peer sent a value with bytes behind it.
    #[error("{0} bytes too many in a frame")]
    Trailing(usize),
    /// A value of this node does not fit into one frame: a bug.
    #[error("a message does not fit into a frame: {0}")]
    TooLarge(String),
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<MAX_FRAME_BYTES>()
}

/// Encodes a value into at most [`MAX_FRAME_BYTES`].
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    let bytes = bincode::serde::encode_to_vec(value, config())
        .map_err(|error| CodecError::TooLarge(error.to_string()))?;
    if bytes.len() > MAX_FRAME_BYTES {
        return Err(CodecError::TooLarge(format!("{} bytes", bytes.len())));
    }
    Ok(bytes)
}

/// Decodes one value that fills `bytes` exactly.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (value, used) = bincode::serde::decode_from_slice(bytes, config())
        .map_err(|error| CodecError::Undecodable(error.to_string()))?;
    if used != bytes.len() {
        return Err(CodecError::Trailing(bytes.len() - used));
    }
    Ok(value)
}

/// Bytes of the length prefix of a frame: a big-endian `u32`.
pub const PREFIX_BYTES: usize = 4;

/// Encodes a value as a frame: length prefix and body.
pub fn frame<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    let body = encode(value)?;
    let length = u32::try_from(body.len()).map_err(|e| CodecError::TooLarge(e.to_string()))?;
    let mut bytes = Vec::with_capacity(PREFIX_BYTES + body.len());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// Whether the bytes begin with a whole frame.
pub fn begins_with_frame(bytes: &[u8]) -> bool {
    let prefix = bytes.first_chunk().map(|prefix| frame_length(*prefix));
    prefix.is_some_and(|length| length.is_ok_and(|length| bytes.len() >= PREFIX_BYTES + length))
}

/// Reads a length prefix; rejects one beyond [`MAX_FRAME_BYTES`] before anything is
/// allocated.
pub fn frame_length(prefix: [u8; PREFIX_BYTES]) -> Result<usize, CodecError> {
    let length = u32::from_be_bytes(prefix) as usize;
    if length > MAX_FRAME_BYTES {
        return Err(CodecError::Undecodable(format!(
            "a frame of {length} bytes is claimed; at most {MAX_FRAME_BYTES} are allowed"
        )));
    }
    Ok(length)
}
