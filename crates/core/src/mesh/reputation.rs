//! Reputation: which peers served badly, and until when that counts.
//!
//! Damaged pieces and lies weigh heavily: a peer that sends them is not used at all for a
//! while, each time for longer, and afterwards only if no other source can deliver.
//! Time-outs happen to every peer: only many within a short time count, several at the same
//! moment count as one, and delivered bytes make up for them. Everything is forgotten with
//! time.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use crate::time::Time;

/// How long a peer is not used after its first offence; each further one doubles the time,
/// up to [`MAX_SHUN`].
pub const SHUN: Duration = Duration::from_secs(10 * 60);

/// The longest time for which offences keep a peer from being used: by then its disk or its
/// user may have changed.
pub const MAX_SHUN: Duration = Duration::from_secs(24 * 3_600);

/// After this time without another, one offence is forgotten.
pub const FORGET: Duration = Duration::from_secs(24 * 3_600);

/// Time-outs within this time count together.
pub const TIMEOUT_WINDOW: Duration = Duration::from_secs(10 * 60);

/// Time-outs within this time after one that counts belong to the same silence: a download
/// asks a lost source again every half second, as long as it may be restarting.
pub const SAME_SILENCE: Duration = Duration::from_secs(20);

/// After this many time-outs a peer is used last.
pub const TIMEOUTS_LAST: usize = 3;

/// After this many it is not used for a while.
pub const TIMEOUTS_SHUNNED: usize = 6;

/// Delivered bytes that make up for one time-out.
pub const HEAL_BYTES: u64 = 4 * 1024 * 1024;

/// Peers that are remembered: as many sources as a user meets in a day, in little memory.
pub const MAX_REMEMBERED: usize = 1_024;

/// What a source did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// It delivered bytes that verified.
    Delivered(u64),
    /// It sent a piece that failed its hash.
    BadPiece,
    /// What it sent contradicts what it said; with a short description.
    Lied(String),
    /// It took too long, or could not be reached.
    TimedOut,
}

/// How far a peer is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Fully.
    Good,
    /// Used when no other source can deliver.
    Last,
    /// Not used for a while.
    Shunned,
}

/// Why a peer is not trusted fully.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// How far it is trusted; never [`Level::Good`].
    pub level: Level,
    /// The reason.
    pub why: String,
    /// When that ends, unless something happens before.
    pub until: Time,
}

/// The reputations of all peers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reputations {
    peers: BTreeMap<SocketAddr, Memory>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Memory {
    /// When something last counted against the peer.
    touched: Time,
    /// Offences that are not forgotten yet.
    offences: u32,
    /// When the last of them was, and what it was.
    offended: Time,
    why: String,
    /// The latest time-outs, oldest first; at most [`TIMEOUTS_SHUNNED`].
    timeouts: VecDeque<Time>,
    /// Bytes delivered since the last time-out that they made up for.
    delivered: u64,
}

impl Memory {
    /// Number of offences that still count.
    fn membership(&self, now: Time) -> u32 {
        let forgotten = now.since(self.offended).as_secs() / FORGET.as_secs();
        self.offences.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }

    /// How long the last offence keeps the peer from being used.
    fn shun(&self) -> Duration {
        let doublings = self.offences.saturating_sub(1).min(31);
        SHUN.saturating_mul(1 << doublings).min(MAX_SHUN)
    }

    fn offend(&mut self, now: Time, why: String) {
        self.offences = self.membership(now).saturating_add(1);
        self.offended = now;
        self.why = why;
    }

    fn doubt(&self, now: Time) -> Option<Doubt> {
        let silence = self.silence(now);
        if self.membership(now) > 0 {
            let (free, good) = (self.offended + self.shun(), self.offended + self.shun() * 2);
            let why = || self.why.clone();
            if now < free {
                return Some(Doubt { level: Level::Shunned, why: why(), until: free });
            }
            if now < good {
                let until = silence.map_or(good, |silence| silence.until.max(good));
                return Some(Doubt { level: Level::Last, why: why(), until });
            }
        }
        silence
    }

    /// The doubt that follows from its latest time-outs alone.
    fn silence(&self, now: Time) -> Option<Doubt> {
        let recent = || self.timeouts.iter().filter(|at| now.since(**at) < TIMEOUT_WINDOW);
        let count = recent().count();
        // When this time-out is forgotten, too few are left.
        let decisive = recent().nth(count.checked_sub(TIMEOUTS_LAST)?)?;
        Some(Doubt {
            level: Level::Last,
            why: format!("did not answer {count} times lately"),
            until: *decisive + TIMEOUT_WINDOW,
        })
    }
}

impl Reputations {
    /// Records what a peer did.
    pub fn saw(&mut self, now: Time, peer: SocketAddr, conduct: &Conduct) {
        if let Conduct::Delivered(bytes) = conduct {
            // Nothing needs to be stored about a peer that never failed.
            if let Some(memory) = self.peers.get_mut(&peer) {
                memory.delivered = memory.delivered.saturating_add(*bytes);
                while memory.delivered >= HEAL_BYTES && memory.timeouts.pop_front().is_some() {
                    memory.delivered -= HEAL_BYTES;
                }
                if memory.timeouts.is_empty() {
                    memory.delivered = 0;
                }
            }
            return;
        }
        let memory = self.peers.entry(peer).or_default();
        memory.touched = now;
        match conduct {
            Conduct::Delivered(_) => {}
            Conduct::BadPiece => memory.offend(now, "sent a damaged piece".to_owned()),
            Conduct::Lied(what) => memory.offend(now, what.clone()),
            Conduct::TimedOut => {
                memory.delivered = 0;
                let same = |at: &Time| now.since(*at) < SAME_SILENCE;
                if memory.timeouts.back().is_some_and(same) {
                    return;
                }
                memory.timeouts.retain(|at| now.since(*at) < TIMEOUT_WINDOW);
                memory.timeouts.push_back(now);
                if memory.timeouts.len() >= TIMEOUTS_SHUNNED {
                    memory.timeouts.clear();
                    memory.offend(now, format!("did not answer {TIMEOUTS_SHUNNED} times"));
                }
            }
        }
        if self.peers.len() > MAX_REMEMBERED {
            self.forget_one(now);
        }
    }

    /// The present doubt about a peer; `None` if it is trusted fully.
    pub fn of(&self, now: Time, peer: SocketAddr) -> Option<Doubt> {
        self.peers.get(&peer)?.doubt(now)
    }

    /// All peers that are not trusted fully now, in the order of addresses.
    pub fn doubted(&self, now: Time) -> impl Iterator<Item = (SocketAddr, Doubt)> + '_ {
        self.peers.iter().filter_map(move |(peer, memory)| Some((*peer, memory.doubt(now)?)))
    }

    /// Forgets the least important entry: the most trusted peer, and among equals the
    /// oldest. So a peer cannot lose its bad reputation by making others fail.
    fn forget_one(&mut self, now: Time) {
        let matters = |memory: &Memory| {
            (memory.doubt(now).map_or(Level::Good, |doubt| doubt.level), memory.touched)
        };
        let least = self.peers.iter().min_by_key(|(_, memory)| matters(memory));
        if let Some(peer) = least.map(|(peer, _)| *peer) {
            self.peers.remove(&peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn peer(number: u16) -> SocketAddr {
        ([127, 0, 0, 1], number).into()
    }

    fn at(seconds: u64) -> Time {
        Time::from_micros(seconds * 1_000_000)
    }

    fn level(of: &Reputations, seconds: u64, who: u16) -> Level {
        of.of(at(seconds), peer(who)).map_or(Level::Good, |doubt| doubt.level)
    }

    #[test]
    fn a_bad_piece_keeps_a_peer_away_then_last_then_it_is_forgotten() {
        let mut all = Reputations::default();
        all.saw(at(100), peer(1), &Conduct::BadPiece);
        let doubt = all.of(at(100), peer(1)).expect("a doubt");
        assert_eq!(doubt.level, Level::Shunned);
        assert_eq!((doubt.why.as_str(), doubt.until), ("sent a damaged piece", at(700)));
        assert_eq!(level(&all, 699, 1), Level::Shunned);
        assert_eq!(level(&all, 700, 1), Level::Last);
        assert_eq!(level(&all, 1_299, 1), Level::Last);
        assert_eq!(level(&all, 1_300, 1), Level::Good);
        assert_eq!(level(&all, 100, 2), Level::Good, "another peer");
    }

    #[test]
    fn each_repetition_doubles_the_time_up_to_a_day() {
        let mut all = Reputations::default();
        let mut now = 0;
        let mut spans = Vec::new();
        for _ in 0..10 {
            all.saw(at(now), peer(1), &Conduct::Lied("said 5 bytes and sent 6".into()));
            let until = all.of(at(now), peer(1)).expect("a doubt").until;
            spans.push(until.since(at(now)).as_secs() / 60);
            now += 60;
        }
        assert_eq!(spans, [10, 20, 40, 80, 160, 320, 640, 1_280, 1_440, 1_440]);
        // A day without an offence takes one of them away.
        let later = now + 24 * 3_600 * 7;
        all.saw(at(later), peer(1), &Conduct::BadPiece);
        let until = all.of(at(later), peer(1)).expect("a doubt").until;
        assert_eq!(until.since(at(later)).as_secs() / 60, 80, "the fourth that counts");
    }

    #[test]
    fn delivered_bytes_do_not_make_up_for_an_offence() {
        let mut all = Reputations::default();
        all.saw(at(0), peer(1), &Conduct::BadPiece);
        all.saw(at(1), peer(1), &Conduct::Delivered(1 << 40));
        assert_eq!(level(&all, 2, 1), Level::Shunned);
    }

    #[test]
    fn three_time_outs_in_ten_minutes_make_a_peer_the_last_and_six_none() {
        let mut all = Reputations::default();
        for (seconds, expected) in [
            (0, Level::Good),
            (20, Level::Good),
            (40, Level::Last),
            (60, Level::Last),
            (80, Level::Last),
            (100, Level::Shunned),
        ] {
            all.saw(at(seconds), peer(1), &Conduct::TimedOut);
            assert_eq!(level(&all, seconds, 1), expected, "after {seconds} s");
        }
        assert_eq!(level(&all, 700, 1), Level::Last);
        // Far enough apart they never count.
        for seconds in (0..100_000).step_by(301) {
            all.saw(at(seconds), peer(2), &Conduct::TimedOut);
            assert_eq!(level(&all, seconds, 2), Level::Good, "after {seconds} s");
        }
    }

    #[test]
    fn time_outs_pass_and_delivered_bytes_make_up_for_them() {
        let mut all = Reputations::default();
        for who in [1, 2] {
            for seconds in [0, 20, 40, 60] {
                all.saw(at(seconds), peer(who), &Conduct::TimedOut);
            }
        }
        let doubt = all.of(at(60), peer(1)).expect("a doubt");
        assert_eq!((doubt.why.as_str(), doubt.until), ("did not answer 4 times lately", at(620)));
        assert_eq!(level(&all, 619, 1), Level::Last);
        assert_eq!(level(&all, 620, 1), Level::Good);
        all.saw(at(70), peer(2), &Conduct::Delivered(HEAL_BYTES));
        assert_eq!(level(&all, 70, 2), Level::Last, "three are left");
        all.saw(at(71), peer(2), &Conduct::Delivered(HEAL_BYTES / 2));
        all.saw(at(72), peer(2), &Conduct::Delivered(HEAL_BYTES / 2));
        assert_eq!(level(&all, 72, 2), Level::Good);
    }

    #[test]
    fn a_download_that_asks_again_and_again_finds_one_silence_not_many() {
        let mut all = Reputations::default();
        let ask = |all: &mut Reputations, from: u64| {
            for half_seconds in 0..38 {
                let now = Time::from_micros(from * 1_000_000 + half_seconds * 500_000);
                all.saw(now, peer(1), &Conduct::TimedOut);
            }
        };
        ask(&mut all, 0);
        assert_eq!(level(&all, 20, 1), Level::Good, "it may just be starting anew");
        ask(&mut all, 20);
        ask(&mut all, 40);
        assert_eq!(level(&all, 60, 1), Level::Last);
        for again in 3..6 {
            ask(&mut all, again * 20);
        }
        assert_eq!(level(&all, 120, 1), Level::Shunned);
    }

    #[test]
    fn a_crowd_that_fails_makes_nobody_forget_who_cheated() {
        let mut all = Reputations::default();
        all.saw(at(0), peer(1), &Conduct::BadPiece);
        for who in 2..3_000 {
            all.saw(at(1), peer(who), &Conduct::TimedOut);
        }
        assert_eq!(all.peers.len(), MAX_REMEMBERED);
        assert_eq!(level(&all, 2, 1), Level::Shunned);
        assert_eq!(all.doubted(at(2)).count(), 1);
    }

    proptest! {
        #[test]
        fn whatever_happens_memory_is_bounded_and_a_doubt_ends_when_it_says(
            deeds in prop::collection::vec((0u16..6, 0u8..4, 0u64..4_000), 0..120)
        ) {
            let mut all = Reputations::default();
            let mut now = 0;
            for (who, deed, pause) in deeds {
                now += pause;
                let conduct = match deed {
                    0 => Conduct::BadPiece,
                    1 => Conduct::Lied("it lied".into()),
                    2 => Conduct::TimedOut,
                    _ => Conduct::Delivered(pause * 10_000),
                };
                all.saw(at(now), peer(who), &conduct);
                for (peer, doubt) in all.doubted(at(now)) {
                    prop_assert!(doubt.level > Level::Good);
                    prop_assert!(doubt.until > at(now));
                    let then = all.of(doubt.until, peer).map_or(Level::Good, |doubt| doubt.level);
                    prop_assert!(then < doubt.level, "{:?} became {:?}", doubt, then);
                }
            }
        }
    }
}
