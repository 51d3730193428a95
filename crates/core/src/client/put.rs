//! A put: find the owner of the name, hand it the file, wait for the copies. It begins again
//! when the owner changes or the connection breaks, and goes past an owner that cannot store
//! the file.

use std::time::Duration;

use super::instead::{Instead, holders_of};
use super::{ATTEMPTS, PAUSE};
use crate::error::{CommandError, Fault, Reason};
use crate::name::FileName;
use crate::peer::Peer;
use crate::record::Obstacle;
use crate::time::Time;
use crate::wire::data::DataResponse;

/// How long a put that has moved bytes looks for an owner that takes the rest: the ring needs
/// less to replace a dead owner, and a node to restart. Each attempt goes on where the one
/// before ended.
const PATIENCE: Duration = Duration::from_secs(20);

/// Attempts at the most: an owner that always fails in the middle must not be tried forever.
const MOST_ATTEMPTS: u32 = 100;

/// What the driver of a [`Put`] is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutStep {
    /// Look up the owner of the name: [`PutEvent::Found`] or [`PutEvent::LookupFailed`].
    Lookup,
    /// Send the owner what it lacks of the file and wait for its last word:
    /// [`PutEvent::Answered`], [`PutEvent::Broken`] or [`PutEvent::Failed`].
    Hand(Peer),
    /// Ask the owner, by messages, who takes the file in its place: [`PutEvent::Instead`].
    AskInstead(Peer),
    /// Send the file to a node as the first of a chain: [`PutEvent::Answered`],
    /// [`PutEvent::Broken`] or [`PutEvent::Failed`].
    Relay {
        /// The node.
        to: Peer,
        /// Those that come after it.
        rest: Vec<Peer>,
    },
    /// Tell the owner which nodes have the content, and wait for the copies:
    /// [`PutEvent::Answered`] or [`PutEvent::Failed`].
    Commit {
        /// The owner.
        owner: Peer,
        /// Who has it durably.
        holders: Vec<Peer>,
        /// Why the owner has not.
        obstacle: Obstacle,
    },
    /// Wait so long: [`PutEvent::Woke`].
    Wait(Duration),
    /// It has ended, well with [`DataResponse::Stored`].
    Done(Result<DataResponse, CommandError>),
}

/// What has happened to a [`Put`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutEvent {
    /// It begins.
    Begun,
    /// This is the owner.
    Found {
        /// The owner.
        owner: Peer,
        /// No bytes reach it, as far as known.
        deaf: bool,
    },
    /// The owner was not found.
    LookupFailed(CommandError),
    /// The last word of the node that was sent something.
    Answered(DataResponse),
    /// The connection could not be made, or broke: bytes may not reach that node.
    Broken(String),
    /// The node did not do what was asked, for a reason of its own.
    Failed(String),
    /// What the owner says of who takes the file in its place.
    Instead {
        /// [`DataResponse::Unable`], usually; `None`: it does not answer, or is not the owner.
        answer: Option<DataResponse>,
        /// No bytes reach the owner, as is known by now.
        deaf: bool,
    },
    /// The attempt was broken off on this side, by a pause or for want of a file descriptor,
    /// and may go on now.
    Resumed,
    /// The time of [`PutStep::Wait`] is over.
    Woke,
}

/// The machine of one put.
#[derive(Debug)]
pub struct Put {
    name: FileName,
    /// Attempts so far.
    attempt: u32,
    /// When bytes moved last.
    moved: Option<Time>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Looking,
    /// The owner is handed the file. What to do if the connection breaks.
    Handing(Peer, IfBroken),
    /// The owner is asked who takes it instead; how the connection to it broke.
    Asking(Peer, Option<String>),
    Relaying(Peer, Obstacle, Instead),
    Committing(Peer),
    Waiting,
}

#[derive(Debug)]
enum IfBroken {
    AskInstead,
    GoPast(DataResponse),
    TryAgain,
}

impl Put {
    /// A put under this name. The first event is [`PutEvent::Begun`].
    pub const fn new(name: FileName) -> Put {
        Put { name, attempt: 0, moved: None, stage: Stage::Looking }
    }

    /// Notes that bytes of the file have moved: from then on it is worth to try for longer.
    pub const fn bytes_moved(&mut self, now: Time) {
        self.moved = Some(now);
    }

    /// Why the put ends that cannot go on; `last`: why its last attempt failed.
    pub fn given_up(&self, last: &CommandError) -> CommandError {
        let why = format!("{} could not be stored: {last}; try again", self.name);
        Reason::TryAgain.because(why)
    }

    /// What the driver is to do now that this has happened.
    pub fn handle(&mut self, now: Time, event: PutEvent) -> PutStep {
        let stage = std::mem::replace(&mut self.stage, Stage::Looking);
        match (stage, event) {
            (_, PutEvent::Resumed) => {
                self.moved = Some(now);
                self.attempt += 1;
                PutStep::Lookup
            }
            (Stage::Looking, PutEvent::Found { owner, deaf: false }) => {
                self.hand(owner, IfBroken::AskInstead)
            }
            (Stage::Looking, PutEvent::Found { owner, deaf: true }) => self.ask(owner, None),
            (_, PutEvent::LookupFailed(why)) => self.try_again(now, why),
            (Stage::Handing(owner, IfBroken::AskInstead), PutEvent::Broken(why)) => {
                self.ask(owner, Some(why))
            }
            (Stage::Handing(owner, IfBroken::GoPast(answer)), PutEvent::Broken(_)) => {
                self.answered(now, owner, answer)
            }
            (Stage::Asking(owner, Some(why)), PutEvent::Instead { answer: None, .. }) => {
                self.broken(now, owner, why)
            }
            (Stage::Asking(owner, None), PutEvent::Instead { answer: None, .. }) => {
                self.hand(owner, IfBroken::TryAgain)
            }
            (Stage::Asking(owner, _), PutEvent::Instead { answer: Some(answer), deaf }) => {
                if deaf {
                    self.answered(now, owner, answer)
                } else {
                    self.hand(owner, IfBroken::GoPast(answer))
                }
            }
            (Stage::Handing(owner, _), PutEvent::Answered(answer)) => {
                self.answered(now, owner, answer)
            }
            (Stage::Relaying(owner, obstacle, mut instead), event) => {
                let relayed = match event {
                    PutEvent::Answered(answer) => holders_of(answer),
                    PutEvent::Broken(why) | PutEvent::Failed(why) => Err(why),
                    other => Err(format!("{other:?}")),
                };
                match relayed {
                    Ok(holders) => {
                        self.stage = Stage::Committing(owner);
                        PutStep::Commit { owner, holders, obstacle }
                    }
                    Err(why) => {
                        instead.refuse(why);
                        self.relay(owner, obstacle, instead)
                    }
                }
            }
            (Stage::Committing(owner), PutEvent::Answered(answer)) => match answer {
                DataResponse::Unable { .. } => self.not_the_owner(now, owner),
                answer => self.answered(now, owner, answer),
            },
            (
                Stage::Handing(owner, _) | Stage::Committing(owner),
                PutEvent::Broken(why) | PutEvent::Failed(why),
            ) => self.broken(now, owner, why),
            // Woken, or told what it did not ask for: it begins again.
            _ => PutStep::Lookup,
        }
    }

    fn hand(&mut self, owner: Peer, if_broken: IfBroken) -> PutStep {
        self.stage = Stage::Handing(owner, if_broken);
        PutStep::Hand(owner)
    }

    fn ask(&mut self, owner: Peer, broken: Option<String>) -> PutStep {
        self.stage = Stage::Asking(owner, broken);
        PutStep::AskInstead(owner)
    }

    fn answered(&mut self, now: Time, owner: Peer, answer: DataResponse) -> PutStep {
        match answer {
            DataResponse::Stored { .. } => PutStep::Done(Ok(answer)),
            DataResponse::Failed { why } => PutStep::Done(Err(why)),
            DataResponse::Unable { why, obstacle, instead, copies } => {
                self.relay(owner, obstacle, Instead::new(why, instead, copies))
            }
            _ => self.not_the_owner(now, owner),
        }
    }

    fn relay(&mut self, owner: Peer, obstacle: Obstacle, instead: Instead) -> PutStep {
        match instead.next() {
            Ok((to, rest)) => {
                self.stage = Stage::Relaying(owner, obstacle, instead);
                PutStep::Relay { to, rest }
            }
            Err(nobody) => PutStep::Done(Err(nobody)),
        }
    }

    fn not_the_owner(&mut self, now: Time, owner: Peer) -> PutStep {
        self.try_again(now, CommandError::peer(owner.address(), Fault::NotOwner))
    }

    fn broken(&mut self, now: Time, owner: Peer, why: String) -> PutStep {
        self.try_again(now, CommandError::peer(owner.address(), Fault::Broken(why)))
    }

    fn try_again(&mut self, now: Time, why: CommandError) -> PutStep {
        self.attempt += 1;
        let worth_it = |moved| now.since(moved) < PATIENCE;
        if self.attempt >= MOST_ATTEMPTS || !self.moved.map_or(self.attempt < ATTEMPTS, worth_it) {
            return PutStep::Done(Err(self.given_up(&why)));
        }
        self.stage = Stage::Waiting;
        PutStep::Wait(PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{ContentHash, Version};

    fn peer(port: u16) -> Peer {
        Peer::new(([127, 0, 0, 1], port).into(), 0)
    }

    fn put() -> Put {
        Put::new(FileName::new("SkyShip.jpg").expect("a name"))
    }

    fn stored() -> DataResponse {
        DataResponse::Stored {
            version: Version { counter: 1, root: ContentHash([7; 32]) },
            holders: vec![peer(1)],
            wanted: 1,
            already: false,
            passed: Vec::new(),
            cut_off: 0,
        }
    }

    fn unable(obstacle: Obstacle) -> DataResponse {
        let why = "127.0.0.1:1 has no room for SkyShip.jpg".to_owned();
        DataResponse::Unable { why, obstacle, instead: vec![peer(2), peer(3), peer(4)], copies: 2 }
    }

    const NOT_OWNER: PutEvent = PutEvent::Answered(DataResponse::NotOwner { owner: None });

    const fn found(owner: Peer) -> PutEvent {
        PutEvent::Found { owner, deaf: false }
    }

    /// Has things happen, each a second after the one before; the steps that follow.
    fn story(put: &mut Put, events: impl IntoIterator<Item = PutEvent>) -> Vec<PutStep> {
        let at = |second: usize| Time::ZERO + Duration::from_secs(second as u64);
        events.into_iter().enumerate().map(|(n, event)| put.handle(at(n), event)).collect()
    }

    #[test]
    fn the_owner_changes_in_the_middle() {
        let events = [PutEvent::Begun, found(peer(1)), NOT_OWNER, PutEvent::Woke, found(peer(2))];
        assert_eq!(
            story(&mut put(), events),
            [
                PutStep::Lookup,
                PutStep::Hand(peer(1)),
                PutStep::Wait(PAUSE),
                PutStep::Lookup,
                PutStep::Hand(peer(2))
            ]
        );
    }

    #[test]
    fn a_full_owner_is_passed_and_told_who_has_the_file() {
        let refused = DataResponse::Failed { why: CommandError::Disk("it is full".to_owned()) };
        let holders = vec![peer(3), peer(4)];
        let steps = story(
            &mut put(),
            [
                PutEvent::Begun,
                found(peer(1)),
                PutEvent::Answered(unable(Obstacle::NoRoom)),
                PutEvent::Answered(refused),
                PutEvent::Answered(DataResponse::Relayed { holders: holders.clone() }),
                PutEvent::Answered(stored()),
            ],
        );
        let (owner, obstacle) = (peer(1), Obstacle::NoRoom);
        assert_eq!(steps[2], PutStep::Relay { to: peer(2), rest: vec![peer(3)] });
        assert_eq!(steps[3], PutStep::Relay { to: peer(3), rest: vec![peer(4)] });
        assert_eq!(steps[4], PutStep::Commit { owner, holders, obstacle });
        assert_eq!(steps[5], PutStep::Done(Ok(stored())));
    }

    #[test]
    fn when_all_are_full_the_put_ends_and_names_them() {
        let full = || PutEvent::Failed("no room".to_owned());
        let refused = PutEvent::Answered(unable(Obstacle::NoRoom));
        let events = [PutEvent::Begun, found(peer(1)), refused, full(), full(), full()];
        let last = story(&mut put(), events).pop();
        let Some(PutStep::Done(Err(why))) = last else { panic!("{last:?}") };
        assert_eq!(why.reason(), Some(Reason::NoRoom));
        assert!(why.to_string().ends_with("127.0.0.1:3 and 127.0.0.1:4 take it: no room"), "{why}");
    }

    #[test]
    fn an_owner_that_answers_messages_and_takes_no_bytes_is_passed_at_the_second_break() {
        let broken = || PutEvent::Broken("no route to host".to_owned());
        let answer = || PutEvent::Instead { answer: Some(unable(Obstacle::NoBytes)), deaf: false };
        let events = [PutEvent::Begun, found(peer(1)), broken(), answer(), broken()];
        let steps = story(&mut put(), events);
        assert_eq!(
            steps[2..4],
            [PutStep::AskInstead(peer(1)), PutStep::Hand(peer(1))],
            "it is tried once more"
        );
        assert_eq!(steps[4], PutStep::Relay { to: peer(2), rest: vec![peer(3)] });
        // As is known of it: at once.
        let deaf = PutEvent::Found { owner: peer(1), deaf: true };
        let answer = PutEvent::Instead { answer: Some(unable(Obstacle::NoBytes)), deaf: true };
        let steps = story(&mut put(), [PutEvent::Begun, deaf, answer]);
        assert_eq!(steps[1], PutStep::AskInstead(peer(1)));
        assert_eq!(steps[2], PutStep::Relay { to: peer(2), rest: vec![peer(3)] });
    }

    #[test]
    fn an_owner_that_is_gone_is_looked_up_again() {
        let broken = || PutEvent::Broken("connection refused".to_owned());
        let silent = PutEvent::Instead { answer: None, deaf: false };
        let steps = story(&mut put(), [PutEvent::Begun, found(peer(1)), broken(), silent]);
        assert_eq!(steps[3], PutStep::Wait(PAUSE));
        // One that was known to take no bytes is tried before.
        let deaf = PutEvent::Found { owner: peer(1), deaf: true };
        let silent = PutEvent::Instead { answer: None, deaf: true };
        let steps = story(&mut put(), [PutEvent::Begun, deaf, silent, broken()]);
        assert_eq!(steps[2..], [PutStep::Hand(peer(1)), PutStep::Wait(PAUSE)]);
    }

    #[test]
    fn without_a_byte_moved_six_attempts_are_made_and_with_some_twenty_seconds_pass() {
        let attempts = |put: &mut Put, moved: bool| {
            let (mut now, mut step) = (Time::ZERO, put.handle(Time::ZERO, PutEvent::Begun));
            let mut attempts = 0;
            loop {
                let event = match step {
                    PutStep::Lookup => {
                        attempts += 1;
                        found(peer(1))
                    }
                    PutStep::Hand(_) => {
                        if moved && attempts == 1 {
                            put.bytes_moved(now);
                        }
                        NOT_OWNER
                    }
                    PutStep::Wait(span) => {
                        now = now + span;
                        PutEvent::Woke
                    }
                    PutStep::Done(Err(why)) => return (attempts, now.since(Time::ZERO), why),
                    other => panic!("{other:?}"),
                };
                step = put.handle(now, event);
            }
        };
        let (count, _, why) = attempts(&mut put(), false);
        assert_eq!((count, why.reason()), (ATTEMPTS, Some(Reason::TryAgain)));
        assert_eq!(
            why.to_string(),
            "SkyShip.jpg could not be stored: 127.0.0.1:1 no longer owns the name; try again"
        );
        let (count, took, _) = attempts(&mut put(), true);
        assert_eq!((count, took), (41, PATIENCE));
    }

    #[test]
    fn a_pause_is_no_failed_attempt() {
        let mut put = put();
        for _ in 0..=ATTEMPTS {
            let steps = story(&mut put, [PutEvent::Resumed, found(peer(1))]);
            assert_eq!(steps, [PutStep::Lookup, PutStep::Hand(peer(1))]);
        }
        let step = put.handle(Time::ZERO, PutEvent::Answered(stored()));
        assert_eq!(step, PutStep::Done(Ok(stored())));
    }
}
