//! A removal: the owner of the name is asked, and looked up again when it has changed.

use std::time::Duration;

use super::{ATTEMPTS, PAUSE};
use crate::error::{CommandError, Reason};
use crate::name::FileName;
use crate::peer::Peer;

/// What the driver of a [`Remove`] is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoveStep {
    /// Look up the owner of the name: [`RemoveEvent::Found`].
    Lookup,
    /// Ask the owner to remove the name: [`RemoveEvent::Answered`].
    Ask(Peer),
    /// Wait so long: [`RemoveEvent::Woke`].
    Wait(Duration),
    /// It has ended.
    Done(Result<(), CommandError>),
}

/// What has happened to a [`Remove`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoveEvent {
    /// It begins, or the time of [`RemoveStep::Wait`] is over.
    Woke,
    /// The owner, or why none was found.
    Found(Result<Peer, CommandError>),
    /// The name is removed, or why not.
    Answered(Result<(), CommandError>),
}

/// The machine of one removal.
#[derive(Debug)]
pub struct Remove {
    name: FileName,
    /// Attempts so far.
    attempt: u32,
}

impl Remove {
    /// The first event is [`RemoveEvent::Woke`].
    pub const fn new(name: FileName) -> Remove {
        Remove { name, attempt: 0 }
    }

    /// What the driver is to do now that this has happened. It needs no time: only its
    /// attempts are limited.
    pub fn handle(&mut self, event: RemoveEvent) -> RemoveStep {
        let why = match event {
            RemoveEvent::Woke => return RemoveStep::Lookup,
            RemoveEvent::Found(Ok(owner)) => return RemoveStep::Ask(owner),
            RemoveEvent::Found(Err(why)) => return RemoveStep::Done(Err(why)),
            RemoveEvent::Answered(Ok(())) => return RemoveStep::Done(Ok(())),
            RemoveEvent::Answered(Err(why)) => why,
        };
        let name = &self.name;
        self.attempt += 1;
        match why.reason() {
            Some(Reason::NotOwner) if self.attempt < ATTEMPTS => return RemoveStep::Wait(PAUSE),
            Some(Reason::NotFound) => {
                let why = format!("no file named {name} is on the ring; ls --ring lists what is");
                return RemoveStep::Done(Err(Reason::NotFound.because(why)));
            }
            _ => {}
        }
        let reason = why.reason().unwrap_or(Reason::TryAgain);
        let why = format!("{name} could not be removed: {why}");
        RemoveStep::Done(Err(reason.because(why)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chord::Failure;

    fn peer(port: u16) -> Peer {
        Peer::new(([127, 0, 0, 1], port).into(), 0)
    }

    fn remove() -> Remove {
        Remove::new(FileName::new("SkyShip.jpg").expect("a name"))
    }

    #[test]
    fn the_owner_changes_in_the_middle() {
        let mut remove = remove();
        assert_eq!(remove.handle(RemoveEvent::Woke), RemoveStep::Lookup);
        assert_eq!(remove.handle(RemoveEvent::Found(Ok(peer(1)))), RemoveStep::Ask(peer(1)));
        let moved = RemoveEvent::Answered(Err(Failure::NotOwner.into()));
        assert_eq!(remove.handle(moved.clone()), RemoveStep::Wait(PAUSE));
        assert_eq!(remove.handle(RemoveEvent::Found(Ok(peer(2)))), RemoveStep::Ask(peer(2)));
        assert_eq!(remove.handle(RemoveEvent::Answered(Ok(()))), RemoveStep::Done(Ok(())));
        for _ in 1..ATTEMPTS - 1 {
            assert_eq!(remove.handle(moved.clone()), RemoveStep::Wait(PAUSE));
        }
        let RemoveStep::Done(Err(why)) = remove.handle(moved) else { panic!("it goes on") };
        assert_eq!(why.reason(), Some(Reason::NotOwner));
    }

    #[test]
    fn a_name_that_is_not_there_is_said_to_be_missing_at_once() {
        let answer = RemoveEvent::Answered(Err(Failure::NoSuchFile.into()));
        let RemoveStep::Done(Err(why)) = remove().handle(answer) else { panic!("it goes on") };
        assert_eq!(
            why.to_string(),
            "no file named SkyShip.jpg is on the ring; ls --ring lists what is"
        );
    }
}
