//! The core's questions to other nodes that are on their way, and how long each
//! is waited for.
//!
//! The limit that follows from a peer's round trips tells the dead from the
//! living only where both sides have had their turn. So it begins again
//!
//! - when this node itself did not run: its alarms went off late, and answers may
//!   lie where this node has not looked yet;
//! - as long as bytes come from the peer: it lives and is busy.
//!
//! In the second case what costs little is asked again. Either ends [`AT_MOST`]
//! after the question: then there is no answer, whatever the reason.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use chordal_core::chord::Slot;
use chordal_core::peer::Peer;
use chordal_core::wire::{Ask, Nonce};

use crate::net::vital::asks_for_life;

/// The longest that an answer is waited for from a peer that shows that it lives: a
/// person would call the node stuck by then.
const AT_MOST: Duration = Duration::from_secs(10);

/// While a question is open the hub looks at its own pulse so often, ...
pub(crate) const BEAT: Duration = Duration::from_millis(100);

/// ... and has not run if it is later than this: many times what a turn of the
/// hub or of the system's scheduler takes on a machine with time to spare.
pub(crate) const LATE: Duration = Duration::from_millis(100);

/// The questions that are open.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    /// Each position counts its own.
    open: BTreeMap<(Slot, Nonce), Question>,
}

#[derive(Debug)]
struct Question {
    to: Peer,
    since: Instant,
    /// Kept where it can be asked again.
    ask: Option<Ask>,
}

/// What becomes of a question after its time limit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// It was answered.
    Closed,
    /// There is no answer.
    Unanswered(Peer),
    /// The peer lives: wait until then, and ask it this again.
    Wait(Instant, Peer, Option<Ask>),
}

impl Questions {
    /// A question goes out.
    pub(crate) fn asked(&mut self, slot: Slot, nonce: Nonce, to: Peer, ask: &Ask, now: Instant) {
        let ask = asks_for_life(ask).then(|| ask.clone());
        self.open.insert((slot, nonce), Question { to, since: now, ask });
    }

    /// Its answer came: how long it took. `None`: `from` was not asked this.
    pub(crate) fn answered(
        &mut self,
        slot: Slot,
        nonce: Nonce,
        from: Peer,
        now: Instant,
    ) -> Option<Duration> {
        let since = self.open.get(&(slot, nonce)).filter(|asked| asked.to == from)?.since;
        self.open.remove(&(slot, nonce));
        Some(now.saturating_duration_since(since))
    }

    /// Whether none is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Ends all questions to an address.
    pub(crate) fn give_up(&mut self, address: SocketAddr) -> Vec<(Slot, Nonce, Peer)> {
        let asked = |(_, asked): &(&(Slot, Nonce), &Question)| asked.to.address() == address;
        let lost = self.open.iter().filter(asked);
        let lost: Vec<_> = lost.map(|((slot, nonce), asked)| (*slot, *nonce, asked.to)).collect();
        self.open.retain(|_, asked| asked.to.address() != address);
        lost
    }

    /// To which address a question went.
    pub(crate) fn address(&self, slot: Slot, nonce: Nonce) -> Option<SocketAddr> {
        self.open.get(&(slot, nonce)).map(|asked| asked.to.address())
    }

    /// The time of a question is over. `heard`: when bytes last came from the peer,
    /// which usually answers within `limit`.
    pub(crate) fn overdue(
        &mut self,
        slot: Slot,
        nonce: Nonce,
        heard: Option<Instant>,
        limit: Duration,
        now: Instant,
    ) -> Overdue {
        let Some(asked) = self.open.get(&(slot, nonce)) else { return Overdue::Closed };
        let until = heard.map(|heard| (heard + limit).min(asked.since + AT_MOST));
        match until.filter(|until| *until > now) {
            Some(until) => Overdue::Wait(until, asked.to, asked.ask.clone()),
            None => {
                let to = asked.to;
                self.open.remove(&(slot, nonce));
                Overdue::Unanswered(to)
            }
        }
    }

    /// This node has not run for a while: until when each question is open now.
    pub(crate) fn stood_still(
        &self,
        limit: impl Fn(SocketAddr) -> Duration,
        now: Instant,
    ) -> Vec<(Slot, Nonce, Instant)> {
        let anew = |(&(slot, nonce), asked): (&(Slot, Nonce), &Question)| {
            let until = (now + limit(asked.to.address())).min(asked.since + AT_MOST);
            (slot, nonce, until)
        };
        self.open.iter().map(anew).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(500);

    fn peer() -> Peer {
        Peer::new(([127, 0, 0, 1], 2000).into(), 0)
    }

    #[test]
    fn who_sends_bytes_lives_and_is_asked_again_but_not_for_ever() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut questions = Questions::default();
        questions.asked(0, 1, peer(), &Ask::Neighbours, start);
        let busy = questions.overdue(0, 1, Some(after(300)), LIMIT, after(500));
        assert_eq!(busy, Overdue::Wait(after(800), peer(), Some(Ask::Neighbours)));
        // Nothing came since then.
        let silent = questions.overdue(0, 1, Some(after(300)), LIMIT, after(800));
        assert_eq!(silent, Overdue::Unanswered(peer()));
        assert_eq!(questions.overdue(0, 1, None, LIMIT, after(800)), Overdue::Closed);

        questions.asked(
            0,
            2,
            peer(),
            &Ask::Offer { records: Vec::new(), clock_s: 0, put: false },
            start,
        );
        let talks = questions.overdue(0, 2, Some(after(9_900)), LIMIT, after(9_900));
        assert_eq!(talks, Overdue::Wait(start + AT_MOST, peer(), None));
        let late = questions.overdue(0, 2, Some(start + AT_MOST), LIMIT, start + AT_MOST);
        assert_eq!(late, Overdue::Unanswered(peer()), "it talks, and never answers");
    }

    #[test]
    fn who_stood_still_waits_as_long_as_for_a_new_question() {
        let start = Instant::now();
        let mut questions = Questions::default();
        questions.asked(0, 1, peer(), &Ask::Neighbours, start);
        let now = start + Duration::from_secs(2);
        assert_eq!(questions.stood_still(|_| LIMIT, now), [(0, 1, now + LIMIT)]);
        let now = start + Duration::from_secs(60);
        assert_eq!(questions.stood_still(|_| LIMIT, now), [(0, 1, start + AT_MOST)]);
        assert_eq!(questions.answered(0, 1, peer(), now), Some(Duration::from_secs(60)));
        assert!(questions.is_empty());
    }
}
