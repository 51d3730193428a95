//! Bytes to types and back: the only file that knows bincode.
//!
//! bincode 2.0.1 has no maintainer any more; whoever replaces it changes this
//! file, the golden bytes in `tests/it/wire.rs` and nothing else. Decoding is
//! bounded twice: by the length of the input, which the framing holds below
//! [`MAX_FRAME_BYTES`], and by bincode's own limit, which stops an allocation
//! that a claimed length would cause.

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
    /// A value of ours does not fit into one frame: a bug.
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
