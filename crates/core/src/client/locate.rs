//! Who has a name: its owner and the nodes after it are asked for the newest record and for
//! those that share a file of that name.

use std::time::Duration;

use super::known::Known;
use crate::chord::placement::{others, placement};
use crate::error::CommandError;
use crate::id::Space;
use crate::name::FileName;
use crate::peer::Peer;
use crate::record::{Provider, Record};
use crate::time::Time;

/// Looks for a name before a failing lookup is told.
const LOOKS: u32 = 5;

/// Pause between two looks: by then a ring that changes has got further.
const PAUSE: Duration = Duration::from_millis(250);

/// How long the owner's answer waits for that of the nodes behind it.
const SECOND_OPINION: Duration = Duration::from_millis(300);

/// What the driver of a [`Locate`] is to do. Several steps may be under way at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocateStep {
    /// Look up the owner of the name: [`LocateEvent::Found`].
    Lookup,
    /// Ask a node what it knows of the name: [`LocateEvent::Answered`].
    Ask(Peer),
    /// Wait so long: [`LocateEvent::Woke`]. Replaces an earlier wait.
    Wait(Duration),
    /// It has ended. Whatever is under way is of no interest.
    Done(Result<Known, CommandError>),
}

/// What has happened to a [`Locate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocateEvent {
    /// It begins.
    Begun,
    /// The owner of the name and its successors, or why they were not found.
    Found(Result<(Peer, Vec<Peer>), CommandError>),
    /// What a node says; `None`: it does not answer.
    Answered(Peer, Option<Answer>),
    /// The time of [`LocateStep::Wait`] is over.
    Woke,
}

/// What a node knows of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The record, and who holds it.
    pub record: Option<(Record, Vec<Peer>)>,
    /// Who shares it.
    pub providers: Vec<Provider>,
}

/// The machine of one search for who has a name.
#[derive(Debug)]
pub struct Locate {
    name: FileName,
    space: Space,
    replicas: u8,
    looks_left: u32,
    /// An earlier look found that no node knows the name.
    unknown: bool,
    /// When the wait ends that is under way.
    due: Option<Time>,
    nodes: Vec<Asked>,
    /// The nodes that should hold it.
    wanted: Vec<Peer>,
}

#[derive(Debug)]
struct Asked {
    node: Peer,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Unasked,
    Waiting,
    Said(Answer),
}

impl Asked {
    fn said(&self) -> Option<&Answer> {
        match &self.state {
            State::Said(answer) => Some(answer),
            _ => None,
        }
    }

    fn has_record(&self) -> bool {
        self.said().is_some_and(|answer| answer.record.is_some())
    }
}

impl Locate {
    /// Finds what is known of a name. While the ring changes, a question may fall between two
    /// owners: that no node knows the name is believed only when it is said twice, and a
    /// lookup that fails is repeated. The first event is [`LocateEvent::Begun`].
    pub const fn new(name: FileName, space: Space, replicas: u8) -> Locate {
        Locate {
            name,
            space,
            replicas,
            looks_left: LOOKS,
            unknown: false,
            due: None,
            nodes: Vec::new(),
            wanted: Vec::new(),
        }
    }

    /// Finds what is known of a name now: the first answer is believed.
    pub fn once(name: FileName, space: Space, replicas: u8) -> Locate {
        Locate { looks_left: 1, ..Locate::new(name, space, replicas) }
    }

    /// What the driver is to do now that this has happened.
    pub fn handle(&mut self, now: Time, event: LocateEvent) -> Vec<LocateStep> {
        match event {
            LocateEvent::Begun => vec![LocateStep::Lookup],
            LocateEvent::Found(Ok((owner, successors))) => self.found(now, owner, successors),
            LocateEvent::Found(Err(why)) => self.looked(now, Err(why)),
            LocateEvent::Answered(node, answer) => {
                let asked = self.nodes.iter_mut().find(|asked| asked.node == node);
                let Some(asked) = asked else { return Vec::new() };
                asked.state = State::Said(answer.unwrap_or_default());
                self.go_on(now)
            }
            LocateEvent::Woke if self.due.is_some_and(|due| now < due) => Vec::new(),
            LocateEvent::Woke if self.nodes.is_empty() => vec![LocateStep::Lookup],
            LocateEvent::Woke => {
                self.due = None;
                self.go_on(now)
            }
        }
    }

    fn found(&mut self, now: Time, owner: Peer, successors: Vec<Peer>) -> Vec<LocateStep> {
        // Of each host the position that would hold it; any answers for all.
        let nodes: Vec<Peer> = std::iter::once(owner).chain(others(owner, successors)).collect();
        self.wanted = placement(self.space, self.name.key(self.space), &nodes, self.replicas);
        let unasked = |node| Asked { node, state: State::Unasked };
        self.nodes = nodes.into_iter().map(unasked).collect();
        self.nodes[0].state = State::Waiting;
        // The owner knows, unless it has only just come (back): then the next node has what it
        // lacks, or a newer version. One without room may have nothing, and the node behind it
        // what it should have.
        self.due = Some(now + SECOND_OPINION);
        let mut steps = vec![LocateStep::Ask(owner), LocateStep::Wait(SECOND_OPINION)];
        steps.extend(self.go_on(now));
        steps
    }

    /// What is left to do in this look.
    fn go_on(&mut self, now: Time) -> Vec<LocateStep> {
        let last = self.nodes.len().saturating_sub(1);
        let copies = last.min(usize::from(self.replicas));
        let mut behind = self.nodes.iter().skip(1).take(copies);
        if self.due.is_some()
            && !behind.any(Asked::has_record)
            && let Some(steps) = self.ask_next(copies)
        {
            return steps;
        }
        let Some(owner) = self.nodes.first().and_then(Asked::said) else { return Vec::new() };
        if owner.record.is_none() {
            // Many may join at once: then the copies are further along the list.
            let found = self.nodes.iter().any(Asked::has_record);
            if let Some(steps) = self.ask_next(if found { copies } else { last }) {
                return steps;
            }
        }
        let mut known = Known::default();
        for Asked { node, state } in std::mem::take(&mut self.nodes) {
            if let State::Said(answer) = state {
                known.hear(node, &self.wanted, answer.record);
                known.hear_providers(&self.name, answer.providers);
            }
        }
        self.looked(now, Ok(known))
    }

    /// Asks the first node behind the owner, up to this one, that has not been asked, unless
    /// one before it has not answered yet; `None`: all have answered.
    fn ask_next(&mut self, last: usize) -> Option<Vec<LocateStep>> {
        let next = self.nodes.iter_mut().skip(1).take(last).find(|asked| asked.said().is_none())?;
        if next.state == State::Waiting {
            return Some(Vec::new());
        }
        next.state = State::Waiting;
        Some(vec![LocateStep::Ask(next.node)])
    }

    /// A look has ended.
    fn looked(&mut self, now: Time, known: Result<Known, CommandError>) -> Vec<LocateStep> {
        self.looks_left = self.looks_left.saturating_sub(1);
        let believed = match &known {
            // A tombstone is an answer.
            Ok(known) => self.unknown || !known.is_empty() || known.record.is_some(),
            Err(_) => false,
        };
        if believed || self.looks_left == 0 {
            return vec![LocateStep::Done(known)];
        }
        self.unknown |= known.is_ok();
        self.due = Some(now + PAUSE);
        vec![LocateStep::Wait(PAUSE)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chord::Failure;
    use crate::record::{Content, ContentHash, Version};

    fn peer(port: u16) -> Peer {
        Peer::new(([127, 0, 0, 1], port).into(), 0)
    }

    fn name() -> FileName {
        FileName::new("SkyShip.jpg").expect("a name")
    }

    fn record(counter: u64, content: Content) -> Record {
        let version = Version { counter, root: ContentHash([7; 32]) };
        Record { name: name(), version, content }
    }

    fn knows(node: u16, counter: u64) -> LocateEvent {
        let record = Some((record(counter, Content::File { size: 5 }), vec![peer(node)]));
        LocateEvent::Answered(peer(node), Some(Answer { record, providers: Vec::new() }))
    }

    fn knows_nothing(node: u16) -> LocateEvent {
        LocateEvent::Answered(peer(node), Some(Answer::default()))
    }

    fn found(nodes: u16) -> LocateEvent {
        LocateEvent::Found(Ok((peer(1), (2..=nodes).map(peer).collect())))
    }

    fn locate() -> Locate {
        Locate::new(name(), Space::default(), 2)
    }

    fn at(millis: u64) -> Time {
        Time::ZERO + Duration::from_millis(millis)
    }

    fn asks(steps: &[LocateStep]) -> Vec<u16> {
        let ask = |step: &LocateStep| match step {
            LocateStep::Ask(peer) => Some(peer.address().port()),
            _ => None,
        };
        steps.iter().filter_map(ask).collect()
    }

    fn version(steps: &[LocateStep]) -> Option<u64> {
        match steps {
            [LocateStep::Done(Ok(known))] => {
                Some(known.record.as_ref().map_or(0, |(record, _)| record.version.counter))
            }
            _ => None,
        }
    }

    #[test]
    fn a_newer_record_behind_the_owner_counts() {
        let mut locate = locate();
        assert_eq!(locate.handle(at(0), LocateEvent::Begun), [LocateStep::Lookup]);
        assert_eq!(asks(&locate.handle(at(1), found(4))), [1, 2]);
        assert_eq!(locate.handle(at(2), knows(1, 1)), [], "the second opinion is waited for");
        assert_eq!(version(&locate.handle(at(3), knows(2, 2))), Some(2));
    }

    #[test]
    fn a_silent_second_opinion_is_not_waited_for_long() {
        let mut locate = locate();
        locate.handle(at(0), found(4));
        locate.handle(at(2), knows(1, 1));
        assert_eq!(locate.handle(at(299), LocateEvent::Woke), []);
        assert_eq!(version(&locate.handle(at(300), LocateEvent::Woke)), Some(1));
    }

    #[test]
    fn where_the_owner_knows_nothing_the_others_are_asked_one_after_the_other() {
        let mut locate = locate();
        assert_eq!(asks(&locate.handle(at(0), found(5))), [1, 2]);
        assert_eq!(asks(&locate.handle(at(1), knows_nothing(2))), [3]);
        assert_eq!(locate.handle(at(2), knows_nothing(1)), []);
        assert_eq!(asks(&locate.handle(at(3), LocateEvent::Answered(peer(3), None))), [4]);
        // Of those that should hold it all have answered.
        assert_eq!(version(&locate.handle(at(4), knows(4, 3))), Some(3));
    }

    #[test]
    fn that_no_node_knows_a_name_is_believed_the_second_time() {
        let mut locate = locate();
        locate.handle(at(0), found(1));
        assert_eq!(locate.handle(at(1), knows_nothing(1)), [LocateStep::Wait(PAUSE)]);
        assert_eq!(locate.handle(at(251), LocateEvent::Woke), [LocateStep::Lookup]);
        locate.handle(at(252), found(1));
        assert_eq!(version(&locate.handle(at(253), knows_nothing(1))), Some(0));
        let mut once = Locate::once(name(), Space::default(), 2);
        once.handle(at(0), found(1));
        assert_eq!(version(&once.handle(at(1), knows_nothing(1))), Some(0));
    }

    #[test]
    fn a_tombstone_is_an_answer() {
        let mut locate = locate();
        locate.handle(at(0), found(1));
        let record = Some((record(4, Content::Deleted { at_s: 0 }), vec![peer(1)]));
        let answer = Answer { record, providers: Vec::new() };
        let answered = LocateEvent::Answered(peer(1), Some(answer));
        assert_eq!(version(&locate.handle(at(1), answered)), Some(4));
    }

    #[test]
    fn a_lookup_that_fails_is_told_the_fifth_time() {
        let mut locate = locate();
        let why = CommandError::from(Failure::LookupFailed { asked: 3 });
        let failed = LocateEvent::Found(Err(why.clone()));
        for look in 1..u64::from(LOOKS) {
            let steps = locate.handle(at(1_000 * look), failed.clone());
            assert_eq!(steps, [LocateStep::Wait(PAUSE)]);
            assert_eq!(locate.handle(at(1_000 * look + 250), LocateEvent::Woke).len(), 1);
        }
        assert_eq!(locate.handle(at(9_000), failed), [LocateStep::Done(Err(why))]);
    }
}
