//! Frames on a connection that one task owns alone: with a registry, or of a
//! registry with a node. Control connections between nodes are
//! [`super::connection`].

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use chordal_core::limits::MAX_FRAME_BYTES;
use chordal_core::wire::Frame;
use chordal_core::wire::codec::{self, CodecError};

/// Time for a frame to be written: a peer that does not read for so long is cut off.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// A connection after its greeting.
#[derive(Debug)]
pub(crate) struct Frames(Framed<TcpStream, LengthDelimitedCodec>);

impl Frames {
    pub(crate) fn new(stream: TcpStream) -> Frames {
        let codec = LengthDelimitedCodec::builder().max_frame_length(MAX_FRAME_BYTES).new_codec();
        Frames(Framed::new(stream, codec))
    }

    /// Sends a frame.
    pub(crate) async fn send(&mut self, frame: &Frame) -> Result<(), Broken> {
        self.send_bytes(encode(frame)?).await
    }

    /// Sends a frame that [`encode`] made.
    pub(crate) async fn send_bytes(&mut self, bytes: Bytes) -> Result<(), Broken> {
        match timeout(WRITE_LIMIT, self.0.send(bytes)).await {
            Ok(sent) => sent.map_err(Broken::Io),
            Err(_) => Err(Broken::Stuck),
        }
    }

    /// The next frame. Nothing is lost when this is dropped.
    pub(crate) async fn next(&mut self) -> Result<Frame, Broken> {
        match self.0.next().await {
            Some(Ok(bytes)) => match codec::decode(&bytes)? {
                Frame::Bye => Err(Broken::Closed),
                frame => Ok(frame),
            },
            Some(Err(error)) => Err(Broken::Io(error)),
            None => Err(Broken::Closed),
        }
    }

    /// Waits until the other side closes, or says something, which is then
    /// waited for ever: only the next [`Frames::next`] takes it.
    pub(crate) async fn closed(&self) {
        let stream = self.0.get_ref();
        let unread = !self.0.read_buffer().is_empty();
        if unread || stream.peek(&mut [0]).await.is_ok_and(|bytes| bytes > 0) {
            std::future::pending::<()>().await;
        }
    }
}

/// A frame as it is sent, to be sent to several.
pub(crate) fn encode(frame: &Frame) -> Result<Bytes, CodecError> {
    codec::encode(frame).map(Bytes::from)
}

/// Why a connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// The other side closed it.
    #[error("it closed the connection")]
    Closed,
    /// The other side does not read.
    #[error("it does not read what it is sent")]
    Stuck,
    /// The system says so.
    #[error("{0}")]
    Io(std::io::Error),
    /// What came is no frame.
    #[error("it sent something that cannot be understood: {0}")]
    Garbled(#[from] CodecError),
}
