//! The last lookup in time: hop by hop, then standing still, then fading.

use std::time::Duration;

use super::scene::TICK;
use crate::state::App;
use chordal_core::peer::Peer;
use chordal_view::LookupRow;
use chordal_view::Snapshot;

/// How long the runner takes from one node to the next.
pub(super) const HOP: Duration = Duration::from_millis(350);

/// How long the whole path stands.
const STAY: Duration = Duration::from_secs(2);

/// How long it fades.
const FADE: Duration = Duration::from_millis(700);

/// What is to be seen of a lookup.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Phase {
    /// On the way from node `from` of the path to the next; `part` of the way
    /// is behind.
    Moving { from: usize, part: f64 },
    /// The whole path.
    Membership,
    /// The whole path, dim.
    Fading,
    /// Nothing any more.
    Gone,
}

/// Each node of a lookup once, in order: the one that asks, those asked, the
/// owner.
pub(super) fn path(snapshot: &Snapshot, lookup: &LookupRow) -> Vec<Peer> {
    let mut path = vec![snapshot.me];
    path.extend(lookup.hops.iter().map(|hop| hop.peer));
    path.extend(lookup.owner);
    path.dedup();
    path
}

/// The lookup that is on the ring now, with its phase.
pub(super) fn current<'a>(app: &App, snapshot: &'a Snapshot) -> Option<(&'a LookupRow, Phase)> {
    let trail = app.trail?;
    let lookup = snapshot.lookup.as_ref().filter(|lookup| lookup.number == trail.number)?;
    let steps = path(snapshot, lookup).len() - 1;
    let phase = phase(steps, app.now.saturating_sub(trail.since));
    (phase != Phase::Gone).then_some((lookup, phase))
}

/// How soon the trail changes.
pub(super) fn until_next_frame(app: &App, snapshot: &Snapshot) -> Option<Duration> {
    let (lookup, phase) = current(app, snapshot)?;
    let steps = path(snapshot, lookup).len() - 1;
    let elapsed = app.now.saturating_sub(app.trail?.since);
    Some(match phase {
        Phase::Moving { .. } => TICK,
        Phase::Membership => (moving(steps) + STAY).saturating_sub(elapsed),
        Phase::Fading | Phase::Gone => (moving(steps) + STAY + FADE).saturating_sub(elapsed),
    })
}

fn moving(steps: usize) -> Duration {
    HOP.saturating_mul(steps as u32)
}

fn phase(steps: usize, elapsed: Duration) -> Phase {
    let moving = moving(steps);
    if elapsed < moving {
        let from = (elapsed.as_nanos() / HOP.as_nanos()) as usize;
        let inside = elapsed.saturating_sub(HOP * from as u32);
        Phase::Moving { from, part: inside.as_secs_f64() / HOP.as_secs_f64() }
    } else if elapsed < moving + STAY {
        Phase::Membership
    } else if elapsed < moving + STAY + FADE {
        Phase::Fading
    } else {
        Phase::Gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trail_moves_stands_fades_and_is_gone() {
        let at = |ms| phase(2, Duration::from_millis(ms));
        assert_eq!(at(0), Phase::Moving { from: 0, part: 0.0 });
        assert_eq!(at(525), Phase::Moving { from: 1, part: 0.5 });
        assert_eq!(at(700), Phase::Membership);
        assert_eq!(at(2_699), Phase::Membership);
        assert_eq!(at(2_700), Phase::Fading);
        assert_eq!(at(3_400), Phase::Gone);
        assert_eq!(phase(0, Duration::ZERO), Phase::Membership);
    }
}
