//! What waits for the hub, and in which order it comes.
//!
//! What proves that a node lives, or asks whether another does, comes before the
//! rest: a node that is busy with files still answers in time. Ends of store
//! operations come one by one, however many a batch of the disk had.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use super::{Done, HUB_QUEUE, Input};

/// Signs of life that are taken before the rest has a turn: a peer that sends nothing
/// else does not bring everything else to a stop.
const IN_A_ROW: u32 = 64;

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
    use chordal_core::wire::{Ask, Frame, Message};

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
}
