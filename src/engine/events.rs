//! What the core notices, as sentences for people.

use crate::chord::Notice;
use crate::id::Space;
use crate::peer::Peer;
use crate::view::Level;

/// The event that a notice makes.
pub(super) fn describe(notice: &Notice, space: Space) -> (Level, String) {
    let id = |peer: &Peer| format!("{} ({})", space.show(peer.id(space)), peer);
    let opt = |peer: &Option<Peer>| peer.as_ref().map_or_else(|| "nobody".to_owned(), id);
    match notice {
        Notice::Joined { successor } => {
            (Level::Info, format!("joined the ring; the successor is {}", id(successor)))
        }
        Notice::Renamed { from, to, taken_by } => (
            Level::Warn,
            format!(
                "place {} is taken by {}; this node goes by {} now",
                space.show(from.id(space)),
                taken_by,
                id(to)
            ),
        ),
        Notice::Adopted(params) => {
            (Level::Info, format!("took over the parameters of ring {}", params.describe()))
        }
        Notice::Left => (Level::Info, "left the ring".to_owned()),
        Notice::Alone => (Level::Warn, "alone on the ring".to_owned()),
        Notice::Predecessor { new, .. } => {
            (Level::Info, format!("the predecessor is {} now", opt(new)))
        }
        Notice::Successor { new, .. } => {
            (Level::Info, format!("the successor is {} now", opt(new)))
        }
        Notice::Successors(list) => {
            let ids: Vec<String> = list.iter().map(|peer| space.show(peer.id(space))).collect();
            (Level::Detail, format!("the successor list is {}", ids.join(" ")))
        }
        Notice::Finger { index, node } => {
            (Level::Detail, format!("finger {index} is {} now", opt(node)))
        }
        Notice::Dropped(peer) => (Level::Warn, format!("{} does not answer: dropped", id(peer))),
        Notice::Hop { key, asked } => {
            (Level::Detail, format!("lookup {}: asking {}", space.show(*key), id(asked)))
        }
        Notice::Merged(peer) => (Level::Info, format!("two rings met: {} is taken in", id(peer))),
        Notice::Copies { name, copies, wanted, .. } if copies < wanted => {
            (Level::Detail, format!("{name}: {copies} of {wanted} copies"))
        }
        Notice::Copies { name, copies, wanted, .. } => {
            (Level::Info, format!("{name}: {copies}/{wanted} copies"))
        }
        Notice::Kept(record) if record.is_deleted() => {
            (Level::Info, format!("{} was removed", record.name))
        }
        Notice::Kept(record) => (Level::Info, format!("{} is kept here", record.name)),
        Notice::Given(name) => (Level::Info, format!("{name} was handed over")),
        Notice::KeepFailed { name, why } => {
            (Level::Warn, format!("{name} could not be copied here: {why}"))
        }
    }
}
