//! What other nodes and clients want of this one, for the events: searches,
//! contents that they take, copies that they make for the ring.
//!
//! An asker is named as it calls itself. Nothing here waits: what does not fit
//! into the hub's queue is counted, as what is beyond the first lines of a burst.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use chordal_core::peer::Party;
use chordal_view::Level;
use chordal_view::text::{bytes, clean};

use super::event_coalescer::Bursts;
use super::notes::Notes;

/// Others that are told apart at one time; what comes from further ones in the
/// same second is counted together.
const APART: usize = 64;

/// A linked peer's search reaches this node over the link and over the ring. The
/// second one is the same search if it comes within this time: searches take no
/// longer.
const SAME_SEARCH: Duration = Duration::from_secs(25);

/// Searches that are remembered for that.
const SEARCHES: usize = 64;

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Want {
    /// Names that match.
    Search,
    /// A content.
    Content,
    /// A content, for a copy that the ring needs.
    Copy,
}

/// Over which way a search came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// A question to this node alone.
    Direct,
    /// Around the ring.
    Ring,
}

/// Counts of what others want, told in bursts. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Demand(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    bursts: Bursts<(Want, Option<Party>)>,
    searches: VecDeque<(Instant, Way, Party, String)>,
}

impl Demand {
    /// When there is something to tell.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.0.lock().bursts.due()
    }

    /// The lines that are due.
    pub(crate) fn tell(&self, now: Instant) -> Vec<(Level, String)> {
        let counts = self.0.lock().bursts.counts(now);
        counts.into_iter().map(|(kind, count, sum)| line(kind, count, sum)).collect()
    }
}

impl State {
    /// By which kind something is counted.
    fn kind(&self, want: Want, who: Party) -> (Want, Option<Party>) {
        let kind = (want, Some(who));
        if self.bursts.is_open(&kind) || self.bursts.len() < APART { kind } else { (want, None) }
    }

    /// Whether a search is not one that came over the other way already.
    fn is_another(&mut self, way: Way, who: Party, pattern: &str, now: Instant) -> bool {
        self.searches.retain(|(at, ..)| now.saturating_duration_since(*at) < SAME_SEARCH);
        let same = |(_, other, from, text): &(Instant, Way, Party, String)| {
            *other != way && *from == who && text == pattern
        };
        if let Some(at) = self.searches.iter().position(same) {
            self.searches.remove(at);
            return false;
        }
        if self.searches.len() >= SEARCHES {
            self.searches.pop_front();
        }
        self.searches.push_back((now, way, who, pattern.to_owned()));
        true
    }
}

impl Notes {
    /// Tells that this node was searched: `found` files match, and perhaps
    /// `more`.
    pub(crate) fn searched(&self, way: Way, who: Party, pattern: &str, found: usize, more: bool) {
        if !self.demand.0.lock().is_another(way, who, pattern, Instant::now()) {
            return;
        }
        let found = match found {
            0 => "nothing found here".to_owned(),
            1 => "1 file found here".to_owned(),
            many => format!("{}{many} files found here", if more { "more than " } else { "" }),
        };
        self.wanted(Want::Search, who, 0, || match pattern {
            "" => format!("{who} asked for all names: {found}"),
            _ => format!("{who} searched for {}: {found}", clean(pattern)),
        });
    }

    /// Tells what a party wanted; `weight`: bytes that went out.
    pub(crate) fn wanted(
        &self,
        want: Want,
        who: Party,
        weight: u64,
        text: impl FnOnce() -> String,
    ) {
        let now = Instant::now();
        let mut state = self.demand.0.lock();
        let kind = state.kind(want, who);
        if !state.bursts.shows(kind, weight, now) {
            return;
        }
        drop(state);
        if !self.event_now(level(want), text()) {
            self.demand.0.lock().bursts.add(kind, weight, now);
        }
    }
}

const fn level(want: Want) -> Level {
    match want {
        Want::Search | Want::Content => Level::Traffic,
        Want::Copy => Level::Detail,
    }
}

fn line((want, who): (Want, Option<Party>), count: u32, sum: u64) -> (Level, String) {
    let who = who.map_or_else(|| "others".to_owned(), |who| who.to_string());
    let of = |one: &str, many: &str| match count {
        1 => format!("1 more {one}"),
        _ => format!("{count} more {many}"),
    };
    let text = match want {
        Want::Search => format!("{who} made {}", of("search", "searches")),
        Want::Content => format!("{who} took {} ({})", of("file", "files"), bytes(sum)),
        Want::Copy => format!("{who} copied {} for the ring ({})", of("file", "files"), bytes(sum)),
    };
    (level(want), text)
}

#[cfg(test)]
mod tests {
    use super::super::event_coalescer::{SHOWN, WINDOW};
    use super::*;

    fn node(port: u16) -> Party {
        Party::Node(([127, 0, 0, 1], port).into())
    }

    #[test]
    fn a_burst_is_told_by_who_takes_and_how_much() {
        let (start, demand) = (Instant::now(), Demand::default());
        let mut state = demand.0.lock();
        for who in [node(2001), Party::Client([127, 0, 0, 1].into())] {
            let kind = state.kind(Want::Content, who);
            let shown = (0..100).filter(|_| state.bursts.shows(kind, 1_000, start)).count();
            assert_eq!(shown, SHOWN as usize);
        }
        drop(state);
        assert_eq!(demand.due(), Some(start + WINDOW));
        let told = demand.tell(start + WINDOW);
        assert_eq!(
            told,
            [
                (Level::Traffic, "127.0.0.1:2001 took 95 more files (95.0 kB)".to_owned()),
                (Level::Traffic, "a client at 127.0.0.1 took 95 more files (95.0 kB)".to_owned()),
            ]
        );
    }

    #[test]
    fn whoever_takes_many_names_gets_no_line_for_each() {
        let (start, demand) = (Instant::now(), Demand::default());
        let mut state = demand.0.lock();
        let mut shown = 0;
        for port in 0..10_000 {
            let kind = state.kind(Want::Search, node(port));
            shown += usize::from(state.bursts.shows(kind, 0, start));
        }
        drop(state);
        assert_eq!(shown, APART + SHOWN as usize);
        let told = demand.tell(start + WINDOW);
        assert_eq!(
            told,
            [(Level::Traffic, format!("others made {} more searches", 10_000 - shown))]
        );
    }

    #[test]
    fn a_search_that_comes_over_two_ways_is_told_once_and_a_second_one_again() {
        let (start, mut state) = (Instant::now(), State::default());
        let mut told = |way, who, pattern, at| state.is_another(way, who, pattern, at);
        assert!(told(Way::Direct, node(1), "a", start));
        assert!(!told(Way::Ring, node(1), "a", start));
        assert!(told(Way::Ring, node(1), "a", start), "searched again");
        assert!(told(Way::Ring, node(2), "a", start), "somebody else");
        assert!(told(Way::Ring, node(1), "b", start), "something else");
        assert!(!told(Way::Direct, node(1), "a", start));
        assert!(told(Way::Direct, node(2), "a", start + SAME_SEARCH), "long after");
    }
}
