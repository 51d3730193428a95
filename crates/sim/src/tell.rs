//! The next event of a world as a sentence, for a user who steps through single events.

use std::fmt::Debug;

use chordal_core::peer::Peer;
use chordal_core::wire::Message;

use super::World;
use super::event::{Arrival, Event, Spot};
use super::host::{KINDS, ip};

/// The names of a node's timers, by their numbers; the last is that of puts.
const TIMERS: [&str; KINDS + 1] =
    ["stabilize", "fix fingers", "repair", "probe", "census", "join", "leave", "copies"];

impl World {
    /// The next event in words; `None` if no event is planned.
    pub fn next_in_words(&mut self) -> Option<String> {
        self.queue.next_at()?;
        let own = |spot: &Spot| {
            self.node(*spot).map_or_else(|| host(spot.host), |node| self.named(node.peer()))
        };
        Some(match self.queue.peek()? {
            Event::Deliver(parcel) => {
                let (from, to) = (self.named(parcel.from), self.named(parcel.to));
                match &parcel.message {
                    Message::Ask { ask, .. } => format!("{from} asks {to}: {}", word(ask)),
                    Message::Answer { answer, .. } => {
                        format!("{from} answers {to}: {}", word(answer))
                    }
                    Message::Tell(tell) => format!("{from} tells {to}: {}", word(tell)),
                }
            }
            Event::Fire { spot, kind, .. } => {
                let timer = TIMERS[usize::from(*kind).min(KINDS)];
                format!("the {timer} timer of {} fires, unless it was armed again", own(spot))
            }
            Event::Late { spot, host: other, .. } => {
                format!("{} gives up waiting for {}, unless it answered", own(spot), host(*other))
            }
            Event::Broken { at, host: other, .. } => {
                format!("{} loses its connection with {}", host(*at), host(*other))
            }
            Event::Work { .. } => "a disk operation continues".to_owned(),
            Event::Step { .. } => "an operation continues".to_owned(),
            Event::Retry { host: number, .. } => {
                format!("{} tries to enter the ring", host(*number))
            }
            Event::Churn { what: Arrival::Join, .. } => "a new host joins".to_owned(),
            Event::Churn { what: Arrival::Leave, .. } => "a host departs".to_owned(),
            Event::Churn { what: Arrival::End(number, _), .. } => {
                format!("the session of {} ends", host(*number))
            }
            Event::Operate { .. } => "a host begins an operation".to_owned(),
            Event::Fault { .. } => "the scenario's next fault happens".to_owned(),
        })
    }

    fn named(&self, peer: Peer) -> String {
        self.space.show(peer.id(self.space))
    }
}

fn host(number: super::HostId) -> String {
    ip(number).to_string()
}

/// The name of a message's kind, in words: `MayDrop` is `may drop`.
fn word(message: &impl Debug) -> String {
    let text = format!("{message:?}");
    let name = text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    let mut words = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(c.to_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Setup;

    #[test]
    fn each_event_of_a_young_ring_has_words() {
        let mut world = World::settled(&Setup { hosts: 4, ..Setup::default() }, &mut |_, _| {});
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..400 {
            let words = world.next_in_words().expect("timers go on");
            seen.extend(["asks", "answers", "timer"].into_iter().find(|w| words.contains(*w)));
            assert!(world.step());
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["answers", "asks", "timer"]);
        assert_eq!(word(&chordal_core::wire::Ask::MayDrop { records: Vec::new() }), "may drop");
    }
}
