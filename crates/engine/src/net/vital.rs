//! Which frames show that a peer is alive: they go first on every connection and in the hub.

use chordal_core::wire::mesh::LinkMessage;
use chordal_core::wire::{Answer, Ask, Frame, MeshMessage, Message, Tell};

/// Whether a frame shows that a peer is alive, and is small.
pub(crate) const fn is_vital(frame: &Frame) -> bool {
    match frame {
        Frame::Core { message, .. } => match message {
            Message::Ask { ask, .. } => asks_for_life(ask),
            Message::Answer { answer, .. } => matches!(
                answer,
                Answer::Pong | Answer::Neighbours { .. } | Answer::Next { .. } | Answer::NotMember
            ),
            Message::Tell(tell) => matches!(tell, Tell::Notify | Tell::Changed),
        },
        // What makes or ends a link keeps its place behind what was said before it.
        Frame::Mesh { message, .. } => matches!(
            message,
            MeshMessage::Link(LinkMessage::Beat { .. } | LinkMessage::Echo { .. })
        ),
        _ => false,
    }
}

/// Whether a question is answered from what every node has at hand.
pub(crate) const fn asks_for_life(ask: &Ask) -> bool {
    matches!(ask, Ask::Ping | Ask::Neighbours | Ask::Next { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(message: Message) -> Frame {
        Frame::Core { from: 0, to: 0, message }
    }

    #[test]
    fn questions_about_files_are_not_vital() {
        let ask = |ask| frame(Message::Ask { nonce: 1, ask });
        assert!(is_vital(&ask(Ask::Ping)) && is_vital(&ask(Ask::Neighbours)));
        assert!(!is_vital(&ask(Ask::Offer { records: Vec::new(), clock_s: 0, put: false })));
        assert!(!is_vital(&ask(Ask::MayDrop { records: Vec::new() })));
        assert!(is_vital(&frame(Message::Tell(Tell::Notify))));
        assert!(!is_vital(&Frame::Bye));
    }
}
