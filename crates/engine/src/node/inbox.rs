//! What waits for the hub, and in which order it comes.
//!
//! What proves that a node lives, or asks whether another does, comes before the
//! rest: a node that is busy with files still answers in time. Ends of store
//! operations come one by one, however many a batch of the disk had.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use chordal_core::wire::mesh::LinkMessage;
use chordal_core::wire::{Answer, Ask, Frame, MeshMessage, Message, Tell};

use super::shared::{HUB_QUEUE, Input};
use super::store_worker::Done;

/// Signs of life that are taken before the rest has a turn: a peer that sends nothing
/// else does not bring everything else to a stop.
const IN_A_ROW: u32 = 64;

/// Whether a frame is about who lives, and costs little.
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

/// The hub's end.
pub(crate) struct Inbox {
    vital: mpsc::Receiver<Input>,
    rest: mpsc::Receiver<Input>,
    stored: VecDeque<Done>,
    /// Signs of life since anything else was taken.
    row: u32,
}

/// The other end.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    /// For frames that are vital.
    pub(crate) vital: mpsc::Sender<Input>,
    /// For everything else.
    pub(crate) rest: mpsc::Sender<Input>,
}

impl Inbox {
    pub(crate) fn new() -> (Slots, Inbox) {
        let (vital, vital_inputs) = mpsc::channel(HUB_QUEUE);
        let (rest, inputs) = mpsc::channel(HUB_QUEUE);
        let inbox = Inbox { vital: vital_inputs, rest: inputs, stored: VecDeque::new(), row: 0 };
        (Slots { vital, rest }, inbox)
    }

    /// The next input, once there is one; `None`: there will be none.
    pub(crate) async fn next(&mut self) -> Option<Input> {
        if let Some(input) = self.waiting() {
            return Some(input);
        }
        tokio::select! {
            biased;
            Some(input) = self.vital.recv() => Some(input),
            input = self.rest.recv() => input.map(|input| self.opened(input)),
        }
    }

    /// The next input that is there already.
    pub(crate) fn waiting(&mut self) -> Option<Input> {
        if self.row < IN_A_ROW
            && let Ok(input) = self.vital.try_recv()
        {
            self.row += 1;
            return Some(input);
        }
        self.row = 0;
        if let Some(done) = self.stored.pop_front() {
            return Some(Input::Stored(vec![done]));
        }
        match self.rest.try_recv() {
            Ok(input) => Some(self.opened(input)),
            Err(_) => self.vital.try_recv().ok(),
        }
    }

    /// Of a batch, the first one; the others wait.
    fn opened(&mut self, input: Input) -> Input {
        match input {
            Input::Stored(mut done) if done.len() > 1 => {
                self.stored.extend(done.drain(1..));
                Input::Stored(done)
            }
            input => input,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(message: Message) -> Frame {
        Frame::Core { from: 0, to: 0, message }
    }

    #[tokio::test]
    async fn a_sign_of_life_waits_behind_nothing_else_and_the_rest_is_not_forgotten() {
        let (slots, mut inbox) = Inbox::new();
        let done = |ticket| Done { slot: 0, ticket, result: Ok(()) };
        let thousands = (0..5_000).map(done).collect();
        slots.rest.send(Input::Stored(thousands)).await.expect("room");
        for _ in 0..HUB_QUEUE - 1 {
            slots.rest.send(Input::Changed).await.expect("room");
        }
        assert!(matches!(inbox.next().await, Some(Input::Stored(done)) if done.len() == 1));
        let ask = Message::Ask { nonce: 7, ask: Ask::Neighbours };
        let alive = || Input::Frame { connection: 1, frame: frame(ask.clone()) };
        slots.vital.send(alive()).await.expect("room");
        assert!(matches!(inbox.next().await, Some(Input::Frame { connection: 1, .. })));

        for _ in 0..HUB_QUEUE {
            slots.vital.send(alive()).await.expect("room");
        }
        let taken: Vec<Input> = (0..2 * IN_A_ROW).filter_map(|_| inbox.waiting()).collect();
        let rest = taken.iter().filter(|input| matches!(input, Input::Stored(_))).count();
        assert_eq!(rest, 1, "one of the others after each row");
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
